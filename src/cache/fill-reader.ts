import { untilAborted } from '../async/single-flight.ts'
import type { ByteRange } from '../oci/range.ts'
import type { Body, Sink } from '../oci/registry.ts'
import type { Piece } from './spool.ts'

/** A reader that fell behind what is in memory reads the file in pieces of this size: there may be many of them. */
const catchUpSize = 64 * 1024

/** Handed to a client's socket in one write: others wait for as long as that takes. */
const mostAtOnce = 128 * 1024

/** What a reader needs of its fill. */
export interface Source {
  /** How many bytes from the start may be served now. Throws where the fill failed. */
  readonly released: number
  /** Resolves when `released` may have changed. */
  readonly progress: Promise<void>
  /** Throws where the fill failed. */
  assertSound(): void
  /** The bytes from `position` on, up to `end`, that are in memory. */
  lend(position: number, end: number): Piece | undefined
  /** Reads bytes that are on disk, and resolves to how many. */
  onDisk(target: Uint8Array, position: number): Promise<number>
  /** The reader is done. */
  leave(reader: FillReader): Promise<void>
}

/** One client's way through a running fill: level with the writer it is served from memory, behind it from disk. */
export class FillReader implements Body {
  readonly #fill: Source
  readonly #end: number
  #position: number
  #disposed = false

  constructor(fill: Source, range: ByteRange) {
    this.#fill = fill
    this.#position = range.start
    this.#end = range.end + 1
  }

  /** The first byte that its client has not taken yet. */
  get position(): number {
    return this.#position
  }

  async sendTo(sink: Sink, signal?: AbortSignal): Promise<void> {
    let buffer: Uint8Array | undefined
    while (this.#position < this.#end) {
      signal?.throwIfAborted()
      const upto = Math.min(this.#end, this.#fill.released, this.#position + mostAtOnce)
      if (this.#position >= upto) {
        await untilAborted(this.#fill.progress, signal)
        continue
      }
      const piece = this.#fill.lend(this.#position, upto)
      if (piece) {
        await sink.write(piece.bytes)
        piece.giveBack()
        this.#position += piece.bytes.length
        continue
      }
      buffer ??= Buffer.allocUnsafeSlow(Math.min(catchUpSize, this.#end - this.#position))
      const target = buffer.subarray(0, upto - this.#position)
      const read = await this.#fill.onDisk(target, this.#position)
      this.#fill.assertSound() // it may have failed meanwhile, and its bytes with it
      await sink.write(target.subarray(0, read))
      this.#position += read
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return
    this.#disposed = true
    await this.#fill.leave(this)
  }
}
