/** Counts what happens that may make wrong what others remember: who remembers something notes the count beside it. */
export class Changes {
  #count = 0

  get count(): number {
    return this.#count
  }

  readonly note = (): void => {
    this.#count++
  }
}
