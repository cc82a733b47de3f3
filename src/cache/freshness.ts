import { LRUCache } from 'lru-cache'
import { isKind, type RegistryError } from '../oci/errors.ts'
import type { Clock } from './clock.ts'

/** Milliseconds that a fact stays fresh; negative once it is stale. A check from the future counts for nothing. */
export function freshForMs(checkedAt: number, ttlMs: number, now: number): number {
  return checkedAt > now ? -1 : checkedAt + ttlMs - now
}

const maxPauses = 20_000

/** Checks that failed lately and are not repeated before their time, by key. */
export class Pauses {
  readonly #pauses = new LRUCache<string, { until: number; error: RegistryError }>({ max: maxPauses })
  readonly #pauseMs: number
  readonly #clock: Clock

  constructor(pauseMs: number, clock: Clock) {
    this.#pauseMs = pauseMs
    this.#clock = clock
  }

  /** The last failure, while its pause lasts. */
  peek(key: string): { until: number; error: RegistryError } | undefined {
    const pause = this.#pauses.get(key)
    return pause && this.#clock() < pause.until ? pause : undefined
  }

  /** Begins a pause where upstream could not answer; it lasts as long as upstream asked for, if it did. */
  note(key: string, error: unknown): void {
    if (!isKind(error, 'unavailable', 'throttled')) return
    this.#pauses.set(key, { until: this.#clock() + Math.max(this.#pauseMs, error.retryAfterMs ?? 0), error })
  }

  end(key: string): void {
    this.#pauses.delete(key)
  }
}
