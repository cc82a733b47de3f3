import { type RegistryError, throttled } from '../oci/errors.ts'
import type { Incoming } from './incoming.ts'

const defaultMs = 30_000
const longestMs = 3_600_000

/** The delay an answer asks for, in milliseconds, at most an hour; 30 seconds where it asks for none. */
export function retryAfterMs(incoming: Incoming, fallbackMs = defaultMs): number {
  const text = incoming.header('retry-after') ?? ''
  const wanted = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now()
  return Number.isNaN(wanted) ? fallbackMs : Math.min(Math.max(wanted, 0), longestMs)
}

export const throttledBy = (incoming: Incoming): RegistryError =>
  throttled(`${incoming.host} allows no more requests for now`, { retryAfterMs: retryAfterMs(incoming) })

/** Keeps us from asking an upstream before the time it named. */
export class Cooldown {
  readonly #host: string
  readonly #now: () => number
  #endsAt = 0

  constructor(host: string, now: () => number) {
    this.#host = host
    this.#now = now
  }

  start(delayMs: number): void {
    this.#endsAt = Math.max(this.#endsAt, this.#now() + delayMs)
  }

  /** In milliseconds; 0 once it is over. */
  get leftMs(): number {
    return Math.max(0, this.#endsAt - this.#now())
  }

  /** Throws `throttled` with the time that is left. */
  assertOver(): void {
    const retryAfterMs = this.leftMs
    if (retryAfterMs > 0) throw throttled(`${this.#host} allows no more requests for now`, { retryAfterMs })
  }
}
