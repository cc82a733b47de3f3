/**
 * Buffers that transfers borrow for reading files. Few transfers at once get large ones, which are faster; many get
 * smaller ones, and beyond the budget small ones, so that many slow readers cost little and none waits for another's
 * buffer.
 */
export class BufferPool {
  readonly #free = new Map<number, Uint8Array[]>()
  #lent = 0

  /** Lends a buffer for a transfer of `length` bytes, not necessarily as long. Give it back exactly once. */
  take(length: number): Uint8Array {
    const size = this.#sizeFor(length)
    this.#lent += size
    return this.#free.get(size)?.pop() ?? Buffer.allocUnsafeSlow(size)
  }

  give(buffer: Uint8Array): void {
    this.#lent -= buffer.length
    const free = this.#free.get(buffer.length) ?? []
    if (free.length * buffer.length < keptPerSize) free.push(buffer)
    this.#free.set(buffer.length, free)
  }

  #sizeFor(length: number): number {
    const tier = tiers.find(({ size, budget }) => this.#lent + size <= budget)
    return tier && length > smallSize ? tier.size : smallSize
  }
}

/** Buffers of `size` bytes are lent while not more than `budget` bytes are lent in all. */
type Tier = { size: number; budget: number }

const mebibyte = 1024 * 1024

/** From the largest on. A gigabyte in pieces of 1 MiB costs an eighth less than in pieces of 512 KiB, to one client. */
const tiers: readonly Tier[] = [
  { size: mebibyte, budget: 8 * mebibyte },
  { size: mebibyte / 2, budget: 48 * mebibyte },
]
const smallSize = 64 * 1024
const keptPerSize = 8 * mebibyte
