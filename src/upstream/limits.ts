import { setTimeout as delay } from 'node:timers/promises'
import { Pace } from '../async/pace.ts'
import { Places } from '../async/places.ts'
import { type RegistryError, throttled } from '../oci/errors.ts'
import type { Pull } from '../oci/registry.ts'
import type { UpstreamLimits } from '../rules/rule.ts'
import { publish } from '../telemetry/events.ts'

export type LimitsOptions = {
  host: string
  limits: UpstreamLimits
  /** The longest wait for a turn, in milliseconds. */
  patienceMs: number
  /** Milliseconds of a clock that never goes back. */
  now: () => number
}

const maxWaiting = 1000

/** A list is held in memory until its last page is there. */
const maxLists = 4

/**
 * Keeps what one upstream is asked for within the limits of its rule. Who asks for more waits, first come, first
 * served, and is told `throttled` where that would take too long.
 */
export class Limits {
  readonly #host: string
  readonly #patienceMs: number
  readonly #requests: Pace | undefined
  readonly #transfers: Places | undefined
  readonly #lists = new Places(maxLists, maxWaiting)

  constructor({ host, limits: { requestsPerSecond, concurrency }, patienceMs, now }: LimitsOptions) {
    this.#host = host
    this.#patienceMs = patienceMs
    this.#requests = requestsPerSecond === undefined ? undefined : new Pace({ perSecond: requestsPerSecond, now })
    this.#transfers = concurrency === undefined ? undefined : new Places(concurrency, maxWaiting)
  }

  /** Waits for the turn of one request. Rejects with the signal's reason. */
  async request(signal: AbortSignal | undefined): Promise<void> {
    const pace = this.#requests
    if (!pace) return
    if (pace.waitMs > this.#patienceMs) throw this.#tooMuch(pace.waitMs)
    const waitMs = pace.take()
    if (waitMs > 0) await this.#waiting(delay(waitMs, undefined, signal && { signal }), signal)
  }

  /**
   * Waits for a place among the transfers, and resolves to what gives it back. A check does not wait. Rejects with the
   * signal's reason.
   */
  async transfer(pull?: Pull): Promise<() => void> {
    return this.#transfers ? this.#place(this.#transfers, pull) : () => {}
  }

  /** The same among the lists, of which few are gathered at a time whatever the rule says. */
  async list(pull?: Pull): Promise<() => void> {
    return this.#place(this.#lists, pull)
  }

  async #place(places: Places, { signal, check }: Pull = {}): Promise<() => void> {
    if (check && places.full) throw this.#tooMuch(this.#patienceMs)
    const patience = AbortSignal.timeout(this.#patienceMs)
    const either = signal ? AbortSignal.any([signal, patience]) : patience
    const leave = await this.#waiting(places.take(either), signal).catch((error: unknown) => {
      throw error === patience.reason ? this.#tooMuch(this.#patienceMs) : error
    })
    if (!leave) throw this.#tooMuch(this.#patienceMs)
    return leave
  }

  async #waiting<T>(turn: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    publish('cistern:waiting', { upstream: this.#host, change: 1 })
    try {
      return await turn
    } catch (error) {
      signal?.throwIfAborted()
      throw error
    } finally {
      publish('cistern:waiting', { upstream: this.#host, change: -1 })
    }
  }

  #tooMuch(retryAfterMs: number): RegistryError {
    return throttled(`${this.#host} is asked for as much as its rule allows`, { retryAfterMs })
  }
}
