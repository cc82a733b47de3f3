import { setTimeout as delay } from 'node:timers/promises'

/** A new sample waits this many times as long as the last one took: sampling takes at most a twentieth of the time. */
const rest = 20

/**
 * Something costly to measure, measured when it is asked for but neither twice at once nor all the time. Until the
 * first sample is there, `initial` stands in for it; the last one stands in for one that fails or is not there after
 * `patienceMs`.
 */
export function sampled<T>(measure: () => Promise<T>, initial: T, patienceMs = 1000): () => Promise<T> {
  let last = initial
  let dueAt = 0
  let running: Promise<void> | undefined
  const run = async (): Promise<void> => {
    const startedAt = performance.now()
    try {
      last = await measure()
    } catch {
      // a store that cannot be read tells of itself where it is used
    } finally {
      const endedAt = performance.now()
      dueAt = endedAt + rest * (endedAt - startedAt)
      running = undefined
    }
  }
  return async () => {
    if (!running && performance.now() >= dueAt) running = run()
    if (running) await Promise.race([running, delay(patienceMs, undefined, { ref: false })])
    return last
  }
}
