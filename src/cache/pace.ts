import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'

/** Spreads work on bytes over time. What was not spent is not saved up: after a pause there is no burst. */
export class Pace {
  readonly #bytesPerSecond: number
  #freeAt = 0

  /** `bytesPerSecond` of 0 sets no bound. */
  constructor(bytesPerSecond: number) {
    this.#bytesPerSecond = bytesPerSecond
  }

  /**
   * Waits as long as `bytes` may take, and in any event lets the event loop serve others. Rejects once `signal` is
   * aborted.
   */
  async spend(bytes: number, signal: AbortSignal): Promise<void> {
    const now = performance.now()
    const costMs = this.#bytesPerSecond > 0 ? (bytes / this.#bytesPerSecond) * 1000 : 0
    this.#freeAt = Math.max(this.#freeAt, now) + costMs
    const waitMs = this.#freeAt - now
    if (waitMs >= 1) await delay(waitMs, undefined, { signal })
    else await nextTurn(undefined, { signal })
  }
}
