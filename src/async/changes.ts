/** Counts what happens that may make wrong what others remember: who remembers something notes the count beside it. */
export class Changes {
  readonly #listeners = new Set<() => void>()
  #count = 0

  get count(): number {
    return this.#count
  }

  readonly note = (): void => {
    this.#count++
    for (const listener of this.#listeners) listener()
  }

  /** Calls `listener` after each change, until the function that it returns is called. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}
