import type { FileHandle } from 'node:fs/promises'
import { corrupt } from '../oci/errors.ts'
import { type ByteRange, lengthOf } from '../oci/range.ts'
import type { Body, Sink } from '../oci/registry.ts'
import type { OpenBlob } from './blob-store.ts'
import type { BufferPool } from './buffer-pool.ts'

/** A blob file held open. Its size is that of the file as opened, whatever happens to the name meanwhile. */
export class DiskBlob implements OpenBlob {
  readonly size: number
  readonly #handle: FileHandle
  readonly #pool: BufferPool

  constructor(handle: FileHandle, size: number, pool: BufferPool) {
    this.#handle = handle
    this.size = size
    this.#pool = pool
  }

  body(range: ByteRange = { start: 0, end: this.size - 1 }): Body {
    return {
      sendTo: (sink, signal) => this.#send(range, sink, signal),
      [Symbol.asyncDispose]: () => this[Symbol.asyncDispose](),
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#handle.close()
  }

  /** Reads into one buffer while the sink takes the other. */
  async #send(range: ByteRange, sink: Sink, signal?: AbortSignal): Promise<void> {
    const buffers = [this.#pool.take(lengthOf(range))]
    let taken = Promise.resolve()
    try {
      let position = range.start
      for (let turn = 0; position <= range.end; turn ^= 1) {
        signal?.throwIfAborted()
        const left = range.end - position + 1
        const buffer = buffers[turn] ?? this.#pool.take(left)
        buffers[turn] = buffer
        const { bytesRead } = await this.#handle.read(buffer, 0, Math.min(buffer.length, left), position)
        if (bytesRead === 0) throw corrupt('a stored blob ended early')
        await taken
        taken = Promise.resolve(sink.write(buffer.subarray(0, bytesRead)))
        taken.catch(() => {}) // awaited after the next read, or in the end
        position += bytesRead
      }
      await taken
    } finally {
      await taken.catch(() => {}) // the sink may hold the buffer until it settles
      for (const buffer of buffers) this.#pool.give(buffer)
    }
  }
}
