import type { BlobWriter } from '../blobs/blob-store.ts'
import type { Digest } from '../oci/digest.ts'
import { corrupt } from '../oci/errors.ts'
import type { ByteRange } from '../oci/range.ts'
import type { Body } from '../oci/registry.ts'
import { FillReader } from './fill-reader.ts'

/** Written to disk at once; a blob no longer than this is verified before its first byte is served. */
export const batchSize = 1024 * 1024

type Batch = { start: number; bytes: Uint8Array; length: number }

/**
 * One transfer of a blob from its upstream into the store, read by any number of clients while it runs. It belongs to
 * none of them. All but the last byte is released as it arrives; the last byte only when the whole hashed right, so
 * that no client ever holds a complete blob that is wrong.
 */
export class Fill {
  readonly digest: Digest
  readonly size: number
  /** Resolves when all bytes are there and right; rejects where they never will be. */
  readonly verified: Promise<void>
  readonly #verdict = Promise.withResolvers<void>()
  readonly #writer: BlobWriter
  readonly #abort = new AbortController()
  /** In memory: those not yet on disk and the one before, in order. The last one is being filled. */
  #batches: Batch[] = []
  #writing = Promise.resolve()
  #busy = false
  #received: number
  #released: number
  #failure: unknown
  #progress = Promise.withResolvers<void>()
  #holders = 1
  #salvaged = false

  /** `writer` may hold the first bytes already; the fill owns it from here on. */
  constructor(digest: Digest, size: number, writer: BlobWriter) {
    this.digest = digest
    this.size = size
    this.#writer = writer
    this.#received = writer.written
    this.#released = Math.min(writer.written, Math.max(0, size - 1))
    this.verified = this.#verdict.promise
    this.verified.catch(() => {}) // readers see the failure for themselves
  }

  get received(): number {
    return this.#received
  }

  /**
   * Takes the rest of the blob from `body`, verifies it and publishes it. Rejects where that fails. `committed` runs
   * while requests still join the fill, so that none falls between fill and store.
   */
  async run(body: Body, committed: () => Promise<void>): Promise<void> {
    try {
      await body.sendTo({ write: (chunk) => this.#accept(chunk) }, this.#abort.signal)
      await this.#flush()
      if (this.#writer.digest() !== this.digest) throw corrupt(`upstream sent other bytes than those of ${this.digest}`)
      this.#released = this.size
      this.#verdict.resolve()
      this.#announce()
      await this.#writer.commit({ digest: this.digest, size: this.size })
      await committed()
    } catch (error) {
      this.#failure = error
      this.#verdict.reject(error)
      this.#announce()
      await this.#writing.catch(() => {})
      throw error
    }
  }

  /** Ends the transfer; readers see `reason`. */
  abort(reason: unknown): void {
    this.#abort.abort(reason)
  }

  /**
   * A reader with a pace of its own; it keeps the bytes readable until it is disposed. `undefined` once the fill is
   * over and its file closed: the blob is in the store. Throws where the fill failed.
   */
  read(range: ByteRange): Body | undefined {
    this.assertSound()
    if (this.#holders === 0) return undefined
    this.#holders++
    return new FillReader(this, range)
  }

  /** Lets go of one hold: the runner's or a reader's. The last one closes the file. */
  async release(): Promise<void> {
    this.#holders--
    if (this.#holders === 0 && !this.#salvaged) await this.#writer[Symbol.asyncDispose]()
  }

  /** Hands over the writer of a fill that failed, for a later one to go on with: whoever takes it closes it. */
  salvage(): BlobWriter {
    this.#salvaged = true
    return this.#writer
  }

  /** The bytes from `position` on that are in memory. */
  inMemory(position: number, end: number): Uint8Array | undefined {
    const batch = this.#batches.find(({ start, length }) => position >= start && position < start + length)
    if (!batch) return undefined
    const upto = Math.min(end, batch.start + batch.length)
    return batch.bytes.subarray(position - batch.start, upto - batch.start)
  }

  /** Reads bytes that are on disk. */
  onDisk(target: Uint8Array, position: number): Promise<number> {
    return this.#writer.read(target, position)
  }

  /** How many bytes from the start may be served now. Throws where the fill failed before it was verified. */
  get released(): number {
    this.assertSound()
    return this.#released
  }

  assertSound(): void {
    if (this.#failure !== undefined && this.#released < this.size) throw this.#failure
  }

  /** Resolves when `released` may have changed. */
  get progress(): Promise<void> {
    return this.#progress.promise
  }

  /** Waits only where two batches are in memory already, one full and one on its way to disk. */
  #accept(chunk: Uint8Array): Promise<void> | void {
    if (this.#received + chunk.length > this.size) throw corrupt('upstream sent more than it declared')
    for (let taken = 0; taken < chunk.length; ) {
      const batch = this.#current()
      const part = chunk.subarray(taken, taken + batch.bytes.length - batch.length)
      batch.bytes.set(part, batch.length)
      batch.length += part.length
      taken += part.length
      this.#received += part.length
      this.#released = Math.min(this.#received, this.size - 1)
      this.#announce()
      if (batch.length < batch.bytes.length) continue
      if (this.#busy)
        return this.#writing.then(() => this.#store(batch)).then(() => this.#accept(chunk.subarray(taken)))
      this.#store(batch)
    }
  }

  #current(): Batch {
    const last = this.#batches.at(-1)
    if (last && last.length < last.bytes.length) return last
    const batch = {
      start: this.#received,
      bytes: Buffer.allocUnsafeSlow(Math.min(batchSize, this.size - this.#received)),
      length: 0,
    }
    this.#batches.push(batch)
    return batch
  }

  /** Begins to write a batch; those before it are on disk. */
  #store(batch: Batch): void {
    if (this.#failure !== undefined) throw this.#failure
    this.#batches = [batch]
    this.#busy = true
    this.#writing = this.#writer.write(batch.bytes.subarray(0, batch.length)).then(() => {
      this.#busy = false
    })
    this.#writing.catch(() => {}) // whoever waits for it next sees the failure
  }

  /** Writes what is left in memory. */
  async #flush(): Promise<void> {
    await this.#writing
    const last = this.#batches.at(-1)
    if (last && last.start >= this.#writer.written) this.#store(last)
    await this.#writing
  }

  #announce(): void {
    const { resolve } = this.#progress
    this.#progress = Promise.withResolvers<void>()
    resolve()
  }
}
