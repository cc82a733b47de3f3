import { authentication } from './authentication.ts'
import { bigBlobs } from './big-blobs.ts'
import { cold } from './cold.ts'
import { latency } from './latency.ts'
import type { Measure } from './measure.ts'
import { memory } from './memory.ts'
import { nullTests } from './null-tests.ts'
import { rates } from './rates.ts'
import { ready } from './ready.ts'
import { workers } from './workers.ts'

/** In the order of the report. */
export const measures: readonly Measure[] = [
  ...nullTests,
  ...rates,
  authentication,
  ...bigBlobs,
  ...cold,
  ...latency,
  memory,
  ready,
  workers,
]

/** Those of these ids, with their null tests; all of them where none are named. */
export function selected(only?: readonly string[]): Measure[] {
  const named = measures.filter(({ id }) => !only || only.includes(id))
  const nulls = new Set(named.map(({ nullTest }) => nullTest))
  return measures.filter((measure) => named.includes(measure) || nulls.has(measure.id))
}
