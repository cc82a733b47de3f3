import type { BlobWriter } from '../blobs/blob-store.ts'
import type { Digest } from '../oci/digest.ts'
import { corrupt } from '../oci/errors.ts'
import type { ByteRange } from '../oci/range.ts'
import type { Body } from '../oci/registry.ts'
import { FillReader, type Source } from './fill-reader.ts'
import { type Piece, Spool } from './spool.ts'

/**
 * One transfer of a blob from its upstream into the store, read by any number of clients while it runs. It belongs to
 * none of them. All but the last byte is released as it arrives; the last byte only when the whole hashed right, so
 * that no client ever holds a complete blob that is wrong.
 *
 * A fill whose disk fails goes adrift: it serves its readers to the end from memory, at the pace of the slowest, takes
 * no new ones, and stores nothing.
 */
export class Fill implements Source {
  readonly digest: Digest
  readonly size: number
  /** Resolves when all bytes are there and right; rejects where they never will be. */
  readonly verified: Promise<void>
  readonly #verdict = Promise.withResolvers<void>()
  readonly #writer: BlobWriter
  readonly #spool: Spool
  readonly #abort = new AbortController()
  readonly #readers = new Set<FillReader>()
  #state: 'running' | 'verified' | 'failed' = 'running'
  #failure: unknown
  #progress = Promise.withResolvers<void>()
  #ended = false

  /**
   * `writer` may hold the first bytes already; the fill owns it from here on. `onAdrift` is called once, when the disk
   * fails: nobody may join any more.
   */
  constructor(digest: Digest, size: number, writer: BlobWriter, onAdrift: (error: unknown) => void) {
    this.digest = digest
    this.size = size
    this.#writer = writer
    this.#spool = new Spool(writer, size, {
      onReceived: () => this.#announce(),
      onAdrift: (error) => {
        onAdrift(error)
        this.#abandonIfAlone()
      },
      slowest: () => Math.min(...[...this.#readers].map(({ position }) => position)),
    })
    this.verified = this.#verdict.promise
    this.verified.catch(() => {}) // readers see the failure for themselves
  }

  /** In bytes; released but for the last one. */
  get received(): number {
    return this.#spool.received
  }

  /** The disk failed: what is hashed is more than what is written. */
  get adrift(): boolean {
    return this.#spool.adrift
  }

  /**
   * Takes the rest of the blob from `body`, verifies it and publishes it. Rejects where that fails. `committed` runs
   * while requests still join the fill, so that none falls between fill and store.
   */
  async run(body: Body, committed: () => Promise<void>): Promise<void> {
    try {
      await body.sendTo({ write: (chunk) => this.#accept(chunk) }, this.#abort.signal)
      await this.#spool.flush()
      if (this.#writer.digest() !== this.digest) throw corrupt(`upstream sent other bytes than those of ${this.digest}`)
    } catch (error) {
      this.#state = 'failed'
      this.#failure = error
      this.#verdict.reject(error)
      this.#announce()
      await this.#spool.settled()
      throw error
    }
    this.#state = 'verified'
    this.#verdict.resolve()
    this.#announce()
    await this.#writer.commit({ digest: this.digest, size: this.size })
    await committed()
  }

  /** Ends the transfer; readers see `reason`. */
  abort(reason: unknown): void {
    this.#abort.abort(reason)
  }

  /**
   * A reader with a pace of its own; it keeps the bytes readable until it is disposed. `undefined` once the fill is
   * over and its file closed, for then the blob is in the store, and once it is adrift and has let go of the first of
   * these bytes. Throws where the fill failed.
   */
  read(range: ByteRange): Body | undefined {
    this.assertSound()
    if (this.#ended && this.#readers.size === 0) return undefined
    if (this.adrift && !this.#isInMemory(range.start)) return undefined
    const reader = new FillReader(this, range)
    this.#readers.add(reader)
    return reader
  }

  /** The transfer has settled: the file is closed when the last reader is done. */
  async end(): Promise<void> {
    this.#ended = true
    if (this.#readers.size === 0) await this.#writer[Symbol.asyncDispose]()
  }

  async leave(reader: FillReader): Promise<void> {
    this.#readers.delete(reader)
    this.#spool.readersMoved()
    this.#abandonIfAlone()
    if (this.#ended && this.#readers.size === 0) await this.#writer[Symbol.asyncDispose]()
  }

  lend(position: number, end: number): Piece | undefined {
    this.#spool.readersMoved()
    return this.#spool.lend(position, end)
  }

  onDisk(target: Uint8Array, position: number): Promise<number> {
    return this.#spool.onDisk(target, position)
  }

  get released(): number {
    this.assertSound()
    return this.#state === 'verified' ? this.size : Math.max(0, Math.min(this.received, this.size - 1))
  }

  assertSound(): void {
    if (this.#state === 'failed') throw this.#failure
  }

  get progress(): Promise<void> {
    return this.#progress.promise
  }

  #isInMemory(position: number): boolean {
    const piece = this.#spool.lend(position, position + 1)
    piece?.giveBack()
    return piece !== undefined
  }

  #accept(chunk: Uint8Array): Promise<void> | void {
    this.assertSound()
    if (this.received + chunk.length > this.size) throw corrupt('upstream sent more than it declared')
    return this.#spool.append(chunk)
  }

  #announce(): void {
    const { resolve } = this.#progress
    this.#progress = Promise.withResolvers<void>()
    resolve()
  }

  #abandonIfAlone(): void {
    if (this.#spool.adrift && this.#readers.size === 0) this.abort(corrupt('nobody is left to read an unstored blob'))
  }
}
