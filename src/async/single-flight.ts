/**
 * Runs at most one piece of work per key at a time; callers that come meanwhile share its result or its error. The
 * work belongs to nobody: a caller that leaves changes nothing for the others, and the entry goes when the work ends.
 */
export class SingleFlight<T> {
  readonly #flights = new Map<string, Promise<T>>()

  /** `joined` tells whether the work had begun before. */
  do(key: string, work: () => Promise<T>, signal?: AbortSignal): { joined: boolean; result: Promise<T> } {
    const running = this.#flights.get(key)
    if (running) return { joined: true, result: untilAborted(running, signal) }
    const flight = work().finally(() => this.#flights.delete(key))
    this.#flights.set(key, flight)
    return { joined: false, result: untilAborted(flight, signal) }
  }

  /** Resolves once work for the key that is under way now is over, whatever comes of it. */
  async settled(key: string): Promise<void> {
    await this.#flights.get(key)?.catch(() => {})
  }

  /** Whether work for the key is under way, which a caller would join. */
  has(key: string): boolean {
    return this.#flights.has(key)
  }

  get size(): number {
    return this.#flights.size
  }
}

/** Waits for `promise` or for the abort of `signal`, whichever comes first. Rejects with the signal's reason. */
export async function untilAborted<T>(promise: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (!signal) return promise
  promise.catch(() => {}) // the last waiter may be gone when it rejects
  signal.throwIfAborted()
  const aborted = Promise.withResolvers<never>()
  const abort = () => aborted.reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
