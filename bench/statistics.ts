export type Summary = { median: number; min: number; max: number }

/** Of at least one value. */
export function summarise(values: readonly number[]): Summary {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  const upper = at(sorted, Math.floor(middle))
  return Number.isInteger(middle) ? (at(sorted, middle - 1) + upper) / 2 : upper
}

/** The smallest value that no more than the rest exceed: `share` 0.99 is p99. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return at(sorted, Math.max(0, Math.ceil(share * sorted.length) - 1))
}

/** Round by round: what drifts over a run is in both parts of a pair. */
export function ratios(ours: readonly number[], peers: readonly number[]): number[] {
  if (ours.length !== peers.length) throw new Error(`${ours.length} values cannot be paired with ${peers.length}`)
  return ours.map((value, round) => value / at(peers, round))
}

function at(values: readonly number[], index: number): number {
  const value = values[index]
  if (value === undefined) throw new Error('there is no value to take')
  return value
}
