/** How far a job has come. Bytes are those that are not here when it looks. */
export class WarmProgress {
  readonly #items: number
  #done = 0
  #surveyed = 0
  #known = 0
  #fetched = 0

  constructor(items: number) {
    this.#items = items
  }

  /** An item's parts are known, of which so many bytes are to be fetched. */
  survey(bytes: number): void {
    this.#surveyed++
    this.#known += bytes
  }

  fetch(bytes: number): void {
    this.#fetched += bytes
  }

  /** So many of the known bytes will not come. */
  giveUp(bytes: number): void {
    this.#known -= Math.max(0, bytes)
  }

  finish(): void {
    this.#done++
  }

  get state() {
    return {
      items: { done: this.#done, total: this.#items, surveyed: this.#surveyed },
      bytes: { fetched: this.#fetched, known: this.#known },
    }
  }
}
