import { setTimeout as delay } from 'node:timers/promises'

/** Repeats `attempt` until it succeeds. Rejects with its last error when the time is up. */
export async function eventually<T>(attempt: () => Promise<T>, timeoutMs = 10_000): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (performance.now() > deadline) throw error
      await delay(20)
    }
  }
}
