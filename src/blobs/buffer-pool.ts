/**
 * Buffers that transfers borrow for reading files. Few transfers at once get large ones, which are faster; beyond the
 * budget each gets a small one, so that many slow readers cost little and none waits for another's buffer.
 */
export class BufferPool {
  readonly #budget: number
  readonly #free = new Map<number, Uint8Array[]>()
  #lent = 0

  /** `budget`: bytes lent at once before buffers get small. */
  constructor(budget = 48 * 1024 * 1024) {
    this.#budget = budget
  }

  /** Lends a buffer for a transfer of `length` bytes, not necessarily as long. Give it back exactly once. */
  take(length: number): Uint8Array {
    const small = length <= smallSize || this.#lent + largeSize > this.#budget
    const size = small ? smallSize : largeSize
    this.#lent += size
    return this.#free.get(size)?.pop() ?? Buffer.allocUnsafeSlow(size)
  }

  give(buffer: Uint8Array): void {
    this.#lent -= buffer.length
    const free = this.#free.get(buffer.length) ?? []
    if (free.length * buffer.length < keptPerSize) free.push(buffer)
    this.#free.set(buffer.length, free)
  }
}

const smallSize = 64 * 1024
const largeSize = 512 * 1024
const keptPerSize = 8 * 1024 * 1024
