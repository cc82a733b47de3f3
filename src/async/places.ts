import { untilAborted } from './single-flight.ts'

/** A number of places, given out in the order in which they are asked for. */
export class Places {
  readonly #maxWaiting: number
  readonly #queue: (() => void)[] = []
  #free: number

  constructor(count: number, maxWaiting: number) {
    this.#free = count
    this.#maxWaiting = maxWaiting
  }

  /** Whether the next one would have to wait. */
  get full(): boolean {
    return this.#free === 0
  }

  /** How many wait. */
  get waiting(): number {
    return this.#queue.length
  }

  /**
   * Resolves to what gives the place back, as soon as there is one; `undefined` at once where too many wait. Rejects
   * with the signal's reason.
   */
  async take(signal?: AbortSignal): Promise<(() => void) | undefined> {
    signal?.throwIfAborted()
    if (this.full) {
      if (this.#queue.length >= this.#maxWaiting) return undefined
      const turn = Promise.withResolvers<void>()
      this.#queue.push(turn.resolve)
      await untilAborted(turn.promise, signal).catch((error: unknown) => {
        const index = this.#queue.indexOf(turn.resolve)
        if (index >= 0) this.#queue.splice(index, 1)
        else this.#leave() // its turn came at the same moment
        throw error
      })
    } else {
      this.#free--
    }
    let held = true
    return () => {
      if (held) this.#leave()
      held = false
    }
  }

  /** The place passes to the next in the queue. */
  #leave(): void {
    const next = this.#queue.shift()
    if (next) next()
    else this.#free++
  }
}
