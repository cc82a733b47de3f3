import { untilAborted } from '../async/single-flight.ts'
import type { ByteRange } from '../oci/range.ts'
import type { Body, Sink } from '../oci/registry.ts'
import type { Fill } from './fill.ts'

/** A reader that fell behind what is in memory reads the file in pieces of this size. */
const catchUpSize = 256 * 1024

/** One client's way through a running fill: level with the writer it is served from memory, behind it from disk. */
export class FillReader implements Body {
  readonly #fill: Fill
  readonly #range: ByteRange
  #disposed = false

  constructor(fill: Fill, range: ByteRange) {
    this.#fill = fill
    this.#range = range
  }

  async sendTo(sink: Sink, signal?: AbortSignal): Promise<void> {
    const end = this.#range.end + 1
    let buffer: Uint8Array | undefined
    for (let position = this.#range.start; position < end; ) {
      signal?.throwIfAborted()
      const upto = Math.min(end, this.#fill.released)
      if (position >= upto) {
        await untilAborted(this.#fill.progress, signal)
        continue
      }
      let chunk = this.#fill.inMemory(position, upto)
      if (!chunk) {
        buffer ??= Buffer.allocUnsafeSlow(Math.min(catchUpSize, end - position))
        const length = Math.min(buffer.length, upto - position)
        chunk = buffer.subarray(0, await this.#fill.onDisk(buffer.subarray(0, length), position))
        this.#fill.assertSound() // it may have failed meanwhile, and its bytes with it
      }
      await sink.write(chunk)
      position += chunk.length
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return
    this.#disposed = true
    await this.#fill.release()
  }
}
