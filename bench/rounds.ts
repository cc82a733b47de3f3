export type Side = 'ours' | 'peer'

export type Pairs<T> = { ours: T[]; peer: T[] }

/** A B, B A, A B, …: whoever is second finds another machine, so each is second as often. */
export function counterbalanced(rounds: number): Side[] {
  return Array.from({ length: rounds }, (_, round): Side[] =>
    round % 2 === 0 ? ['ours', 'peer'] : ['peer', 'ours'],
  ).flat()
}

/** Runs both in counterbalanced order, one at a time. `run` is told the round, from 0. */
export async function alternate<T>(rounds: number, run: (side: Side, round: number) => Promise<T>): Promise<Pairs<T>> {
  const results: Pairs<T> = { ours: [], peer: [] }
  for (const [turn, side] of counterbalanced(rounds).entries()) {
    results[side].push(await run(side, Math.floor(turn / 2)))
  }
  return results
}

/** One number of each result. */
export const pick = <T>({ ours, peer }: Pairs<T>, of: (result: T) => number): Pairs<number> => ({
  ours: ours.map(of),
  peer: peer.map(of),
})
