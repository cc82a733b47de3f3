import { setTimeout as delay } from 'node:timers/promises'
import { isKind, type RegistryError } from '../oci/errors.ts'

/** An upstream that is not asked any more in this job, and why. */
export class Deferred extends Error {
  override readonly name = 'Deferred'
  /** In milliseconds, as far as the upstream said so. */
  readonly retryAfterMs: number | undefined

  constructor({ message, retryAfterMs }: RegistryError) {
    super(message)
    this.retryAfterMs = retryAfterMs
  }
}

export type PatienceOptions = {
  /** The longest wait for an upstream that says when to come again, in milliseconds. */
  patienceMs: number
  /** Between attempts at what is not available, in milliseconds; doubled each time. */
  pauseMs: number
  signal: AbortSignal
  /** Called when a wait begins. */
  onWait: (waitMs: number) => void
}

/** An upstream that says no more often than that in a row means it, however soon it says to come again. */
const maxRefusals = 10
const maxRetries = 2
const defaultWaitMs = 30_000

/**
 * How the upstream of one rule is asked for much. Where it allows no more for a while, nobody asks it meanwhile; where
 * that takes too long, nobody asks it again.
 */
export class Patience {
  readonly #options: PatienceOptions
  #deferred: Deferred | undefined
  #openAt = 0
  #refusals = 0

  constructor(options: PatienceOptions) {
    this.#options = options
  }

  /** Asks until there is an answer. Throws `Deferred`, the reason of the signal, and what no waiting helps against. */
  async ask<T>(question: () => Promise<T>): Promise<T> {
    const { signal, pauseMs } = this.#options
    for (let attempt = 0; ; ) {
      await this.#turn()
      try {
        const answer = await question()
        this.#refusals = 0
        return answer
      } catch (error) {
        signal.throwIfAborted()
        if (isKind(error, 'throttled')) this.#refused(error)
        else if (isKind(error, 'unavailable') && attempt < maxRetries) await this.#wait(pauseMs * 2 ** attempt++)
        else throw error
      }
    }
  }

  async #turn(): Promise<void> {
    for (;;) {
      if (this.#deferred) throw this.#deferred
      const waitMs = this.#openAt - performance.now()
      if (waitMs <= 0) return
      await this.#wait(waitMs)
    }
  }

  #refused(error: RegistryError): void {
    const waitMs = error.retryAfterMs ?? defaultWaitMs
    if (waitMs > this.#options.patienceMs || ++this.#refusals > maxRefusals) {
      this.#deferred ??= new Deferred(error)
      throw this.#deferred
    }
    const openAt = performance.now() + waitMs
    if (openAt <= this.#openAt) return
    this.#openAt = openAt
    this.#options.onWait(waitMs)
  }

  async #wait(waitMs: number): Promise<void> {
    const { signal } = this.#options
    await delay(waitMs, undefined, { signal }).catch(() => {})
    signal.throwIfAborted()
  }
}
