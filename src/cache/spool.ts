import type { BlobWriter } from '../blobs/blob-store.ts'

/** `lent`: how many are reading it: clients, and the writer. */
type Batch = { readonly start: number; readonly bytes: Uint8Array; length: number; lent: number }

/** Bytes in memory that must not change until they are given back. Those that never are belong to the collector. */
export type Piece = { bytes: Uint8Array; giveBack: () => void }

/** Written to disk at once. A blob of no more is whole in memory until it is stored, whatever the disk does. */
export const batchSize = 1024 * 1024

/** How far the fastest reader may be ahead of the slowest one when there is no disk between them. */
const maxBatchesAdrift = 16

export type SpoolOptions = {
  /** Called for every piece that arrived. */
  onReceived: () => void
  /** Called once, when the disk fails: from then on bytes are kept in memory until the slowest reader has them. */
  onAdrift: (error: unknown) => void
  /** The position of the slowest reader. */
  slowest: () => number
}

/**
 * The bytes of one transfer as they arrive: in memory until they are on disk, and there from then on. Two batches are
 * in memory at a time, one being filled and one being written, so that neither network nor disk waits for the other.
 */
export class Spool {
  readonly #writer: BlobWriter
  readonly #size: number
  readonly #options: SpoolOptions
  /** A gigabyte in fresh buffers is a gigabyte that waits for the collector. */
  readonly #spares: Uint8Array[] = []
  #batches: Batch[] = []
  #writing: Promise<void> | undefined
  #room = Promise.withResolvers<void>()
  #adrift = false
  #received: number

  /** `writer` may hold the first bytes already. It stays its owner's. */
  constructor(writer: BlobWriter, size: number, options: SpoolOptions) {
    this.#writer = writer
    this.#size = size
    this.#options = options
    this.#received = writer.written
  }

  get received(): number {
    return this.#received
  }

  get adrift(): boolean {
    return this.#adrift
  }

  /** Takes the bytes, by copy; returns a promise only where the next ones must wait. */
  append(chunk: Uint8Array): Promise<void> | void {
    for (let taken = 0; taken < chunk.length; ) {
      const batch = this.#current()
      const part = chunk.subarray(taken, taken + batch.bytes.length - batch.length)
      batch.bytes.set(part, batch.length)
      batch.length += part.length
      taken += part.length
      this.#received += part.length
      this.#options.onReceived()
      if (batch.length < batch.bytes.length) continue
      const wait = this.#store(batch)
      if (wait) return wait.then(() => this.append(chunk.subarray(taken)))
    }
  }

  /** Writes what is left in memory. Never rejects: a disk that failed was told to `onAdrift`. */
  async flush(): Promise<void> {
    await this.#writing
    const last = this.#batches.at(-1)
    if (last && last.length < last.bytes.length) this.#write(last)
    await this.#writing
  }

  /** Resolves when no write is under way. */
  async settled(): Promise<void> {
    await this.#writing
  }

  /** The bytes from `position` on, up to `end`, as far as they are together in memory. */
  lend(position: number, end: number): Piece | undefined {
    const batch = this.#batches.find(({ start, length }) => position >= start && position < start + length)
    if (!batch) return undefined
    batch.lent++
    return {
      bytes: batch.bytes.subarray(position - batch.start, Math.min(end - batch.start, batch.length)),
      giveBack: () => {
        batch.lent--
      },
    }
  }

  /** Reads bytes that are not in memory any more. */
  onDisk(target: Uint8Array, position: number): Promise<number> {
    return this.#writer.read(target, position)
  }

  /** A reader moved or left. */
  readersMoved(): void {
    if (this.#adrift) this.#room.resolve()
  }

  #current(): Batch {
    const last = this.#batches.at(-1)
    if (last && last.length < last.bytes.length) return last
    const size = Math.min(batchSize, this.#size - this.#received)
    const spare = size === batchSize ? this.#spares.pop() : undefined
    const batch = { start: this.#received, bytes: spare ?? Buffer.allocUnsafeSlow(size), length: 0, lent: 0 }
    this.#batches.push(batch)
    return batch
  }

  #store(batch: Batch): Promise<void> | undefined {
    if (this.#writing || this.#adrift) return this.#storeLater(batch)
    this.#write(batch)
    return undefined
  }

  async #storeLater(batch: Batch): Promise<void> {
    await this.#writing
    this.#write(batch)
    if (this.#adrift) await this.#untilRoom()
  }

  /** Begins to write a batch; those before it are on disk, or the disk is lost. */
  #write(batch: Batch): void {
    batch.lent++
    this.#forgetBefore(this.#adrift ? this.#options.slowest() : batch.start)
    this.#writing = this.#writer
      .write(batch.bytes.subarray(0, batch.length))
      .catch((error: unknown) => {
        if (this.#adrift) return
        this.#adrift = true
        this.#options.onAdrift(error)
      })
      .finally(() => {
        batch.lent--
        this.#writing = undefined
      })
  }

  async #untilRoom(): Promise<void> {
    for (;;) {
      this.#room = Promise.withResolvers<void>()
      this.#forgetBefore(this.#options.slowest())
      if (this.#batches.length <= maxBatchesAdrift) return
      await this.#room.promise
    }
  }

  #forgetBefore(position: number): void {
    const isOver = ({ start, length }: Batch) => length > 0 && start + length <= position
    for (const { lent, bytes } of this.#batches.filter(isOver)) {
      if (lent === 0 && bytes.length === batchSize && this.#spares.length < 2) this.#spares.push(bytes)
    }
    this.#batches = this.#batches.filter((batch) => !isOver(batch))
  }
}
