export type PaceOptions = {
  /** Units per second, spread evenly. */
  perSecond: number
  /** How many may come at once after a time of rest; by default as many as in a second. */
  burst?: number
  /** Milliseconds of a clock that never goes back. */
  now: () => number
}

/** Tells those who take units when it is their turn, first come, first served. Nobody waits here. */
export class Pace {
  readonly #msPerUnit: number
  readonly #burstMs: number
  readonly #now: () => number
  /** When all units taken so far are paid for. */
  #freeAt = Number.NEGATIVE_INFINITY

  constructor({ perSecond, burst = perSecond, now }: PaceOptions) {
    this.#msPerUnit = 1000 / perSecond
    this.#burstMs = Math.max(0, burst - 1) * this.#msPerUnit
    this.#now = now
  }

  /** How long a unit would have to wait now, in milliseconds. */
  get waitMs(): number {
    return Math.max(0, this.#freeAt - this.#now())
  }

  /** Takes units, and returns how long to wait before they are used, in milliseconds. */
  take(units = 1): number {
    const now = this.#now()
    const turnAt = Math.max(this.#freeAt, now - this.#burstMs)
    this.#freeAt = turnAt + units * this.#msPerUnit
    return Math.max(0, turnAt - now)
  }
}
