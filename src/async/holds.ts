/** What somebody is at work with, and others leave alone meanwhile. */
export class Holds<T> {
  readonly #counts = new Map<T, number>()

  has(thing: T): boolean {
    return this.#counts.has(thing)
  }

  get size(): number {
    return this.#counts.size
  }

  /** Nothing is held by it yet. */
  begin(): Hold<T> {
    const held = new Set<T>()
    return {
      add: (thing) => {
        if (held.has(thing)) return
        held.add(thing)
        this.#counts.set(thing, (this.#counts.get(thing) ?? 0) + 1)
      },
      [Symbol.dispose]: () => {
        for (const thing of held) this.#release(thing)
        held.clear()
      },
    }
  }

  #release(thing: T): void {
    const count = (this.#counts.get(thing) ?? 1) - 1
    if (count > 0) this.#counts.set(thing, count)
    else this.#counts.delete(thing)
  }
}

/** Things that one holder has added; disposing it lets go of them. */
export type Hold<T> = Disposable & { add(thing: T): void }
