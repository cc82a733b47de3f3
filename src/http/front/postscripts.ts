import { setTimeout as delay } from 'node:timers/promises'
import type { Exchange } from '../exchange.ts'
import { type Told, takeOver } from './told.ts'

/** How long a log line waits for what the owner has to say of it, in milliseconds. It comes at once, or never. */
const patienceMs = 1000

/** What the owner says of exchanges that broke off, where the answer could not say it. */
export class Postscripts {
  readonly #awaited = new Map<string, (told: Told) => void>()
  readonly #completing = new Set<Promise<void>>()

  /** From now on the exchange is announced only with the owner's word for it, should it end before it is dropped. */
  expect(exchange: Exchange): void {
    const { promise, resolve } = Promise.withResolvers<Told>()
    this.#awaited.set(exchange.requestId, resolve)
    exchange.complete = () => {
      const completing = this.#complete(exchange, promise)
      this.#completing.add(completing)
      return completing.finally(() => this.#completing.delete(completing))
    }
  }

  /** All is said. */
  drop(exchange: Exchange): void {
    this.#awaited.delete(exchange.requestId)
    exchange.complete = undefined
  }

  take(requestId: string, told: Told): void {
    this.#awaited.get(requestId)?.(told)
  }

  /** Resolves once nothing is awaited for what is over. */
  async settled(): Promise<void> {
    await Promise.all(this.#completing)
  }

  async #complete(exchange: Exchange, postscript: Promise<Told>): Promise<void> {
    const told = await Promise.race([postscript, delay(patienceMs, undefined, { ref: false })])
    this.#awaited.delete(exchange.requestId)
    if (told) takeOver(exchange, told)
  }
}
