import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from '../../test/support/process.ts'
import { cores, pinned } from '../cores.ts'
import type { RateResult, RateTask } from './rate.ts'

/** How long an answer may take before it counts as none: as autocannon has it. wrk's own 2 s are too few for distribution. */
const timeoutSeconds = 10

/** wrk, which drives servers that autocannon cannot keep busy. Headers go by a file: they may be secret. */
export async function runWrk({ url, path, headers = {}, connections, seconds }: RateTask): Promise<RateResult> {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'cistern-bench-wrk-'))
  const script = join(directory.path, 'headers.lua')
  const lines = Object.entries(headers).map(([name, value]) => `wrk.headers[${lua(name)}] = ${lua(value)}\n`)
  await writeFile(script, lines.join(''), { mode: 0o600 })
  const bounds = ['-d', `${seconds}s`, '--timeout', `${timeoutSeconds}s`]
  const options = ['-t', '1', '-c', String(connections), ...bounds, '-s', script, `${url}${path}`]
  const { stdout } = await run(...pinned(cores.load, 'wrk', options), { timeoutMs: seconds * 1000 + 30_000 })
  return readWrk(stdout)
}

/** Throws where an answer was not 2xx or 3xx, or a connection failed. */
export function readWrk(output: string): RateResult {
  const [, requests, elapsed, unit] = /(\d+) requests in ([\d.]+)(ms|s|m)\b/.exec(output) ?? []
  const troubles = output.match(/Socket errors:.*|Non-2xx or 3xx responses:.*/g)
  if (requests === undefined || troubles) throw new Error(`wrk: ${troubles?.join('; ') ?? output}`)
  const scale = { ms: 0.001, s: 1, m: 60 }[unit as 'ms' | 's' | 'm']
  return { requests: Number(requests), seconds: Number(elapsed) * scale }
}

const lua = (text: string): string => JSON.stringify(text)
