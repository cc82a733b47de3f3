import { isKind, unavailable } from '../oci/errors.ts'
import { type Events, publish } from '../telemetry/events.ts'

type State = Events['cistern:breaker']['state']

export type BreakerOptions = {
  host: string
  /** Failures in a row that open it. */
  threshold?: number
  /** How long it stays open before one request may try again, in milliseconds. */
  openMs?: number
  /** Milliseconds of a clock that never goes back. */
  now: () => number
}

/** Spares everybody the wait for an upstream that does not answer. Any answer at all, even a refusal, closes it. */
export class Breaker {
  readonly #host: string
  readonly #threshold: number
  readonly #openMs: number
  readonly #now: () => number
  #state: State = 'closed'
  #failures = 0
  #openedAt = 0

  constructor({ host, threshold = 5, openMs = 10_000, now }: BreakerOptions) {
    this.#host = host
    this.#threshold = threshold
    this.#openMs = openMs
    this.#now = now
  }

  /** Throws `unavailable` at once while open. `unavailable` is the failure that counts. */
  async run<T>(exchange: () => Promise<T>): Promise<T> {
    const probing = this.#admit()
    try {
      const result = await exchange()
      this.#failures = 0
      this.#become('closed')
      return result
    } catch (error) {
      if (isKind(error, 'unavailable')) this.#fail()
      else if (probing) this.#become('open') // the caller left: the next one may try
      throw error
    }
  }

  #admit(): boolean {
    if (this.#state === 'closed') return false
    if (this.#state === 'half-open' || this.#now() - this.#openedAt < this.#openMs) {
      throw unavailable(`${this.#host} did not answer lately`)
    }
    this.#become('half-open')
    return true
  }

  #fail(): void {
    this.#failures++
    if (this.#state === 'closed' && this.#failures < this.#threshold) return
    this.#openedAt = this.#now()
    this.#become('open')
  }

  #become(state: State): void {
    if (this.#state === state) return
    this.#state = state
    publish('cistern:breaker', { upstream: this.#host, state })
  }
}
