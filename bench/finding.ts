import { ratios, type Summary, summarise } from './statistics.ts'

/** What is asked of a measure: of its ratio to the peer where it has one, else of the value itself. */
export type Target = { direction: 'at least' | 'at most'; must: number; aim: number } | { within: [number, number] }

/** What a measure found. Values of the same index are of the same round. */
export type Finding = {
  id: string
  title: string
  unit: string
  ours: number[]
  peer?: { name: string; values: number[] }
  target: Target
  /** What a reader has to know in order not to be misled. */
  notes?: string[]
  /** The part of the server's processor that other processes took, from 0 to 1, where that is known. */
  foreign?: number
}

export type Verdict = 'aim' | 'must' | 'short' | 'holds' | 'broken'

export type Row = Finding & { our: Summary; their?: Summary; ratio?: Summary; verdict: Verdict }

export function judge(finding: Finding): Row {
  const { ours, peer, target } = finding
  const our = summarise(ours)
  if (!peer) return { ...finding, our, verdict: verdictOn(our.median, target) }
  const ratio = summarise(ratios(ours, peer.values))
  return { ...finding, our, their: summarise(peer.values), ratio, verdict: verdictOn(ratio.median, target) }
}

function verdictOn(value: number, target: Target): Verdict {
  if ('within' in target) return value >= target.within[0] && value <= target.within[1] ? 'holds' : 'broken'
  const meets = (bound: number) => (target.direction === 'at least' ? value >= bound : value <= bound)
  if (meets(target.aim)) return 'aim'
  return meets(target.must) ? 'must' : 'short'
}

export const isNullTest = ({ target }: Finding): boolean => 'within' in target

/** Why the figures of a run mean nothing; empty where they do. */
export function doubts(rows: readonly Row[]): string[] {
  const nullTests = rows.filter(isNullTest)
  const lacking = nullTests.length === 0 && rows.some(({ ratio }) => ratio)
  return [
    ...(lacking ? ['no null test was run'] : []),
    ...nullTests
      .filter(({ verdict }) => verdict === 'broken')
      .map(({ id, ratio }) => `${id} is ${ratio?.median.toFixed(3)}, which is not between 0.95 and 1.05`),
    ...foreignLoad(rows),
  ]
}

/** Above this something else on the machine decides what comes out. */
const foreignEnough = 0.05

function foreignLoad(rows: readonly Row[]): string[] {
  const disturbed = rows.filter(({ foreign = 0 }) => foreign > foreignEnough)
  const shares = disturbed.map(({ id, foreign = 0 }) => `${id} ${Math.round(foreign * 100)} %`)
  return shares.length > 0 ? [`other processes took of the server's processor: ${shares.join(', ')}`] : []
}
