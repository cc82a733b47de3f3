import { corrupt } from '../oci/errors.ts'
import { type ByteRange, lengthOf } from '../oci/range.ts'
import type { Sink } from '../oci/registry.ts'
import type { OpenBlob, StoredBody } from './blob-store.ts'
import type { BufferPool } from './buffer-pool.ts'
import type { OpenFile } from './file-system.ts'

/** What a file was when it was opened; its size counts, whatever happens to its name meanwhile. */
type Facts = { size: number; birthtimeMs: number; ctimeMs: number; dev: number; ino: number }

/** A blob file held open. */
export class DiskBlob implements OpenBlob {
  readonly #file: OpenFile
  readonly #facts: Facts
  readonly #pool: BufferPool

  constructor(file: OpenFile, facts: Facts, pool: BufferPool) {
    this.#file = file
    this.#facts = facts
    this.#pool = pool
  }

  get size(): number {
    return this.#facts.size
  }

  get storedAt(): number {
    const { birthtimeMs, ctimeMs } = this.#facts
    return birthtimeMs > 0 ? birthtimeMs : ctimeMs // which is later, where a file system knows of no births
  }

  /** Whether it is this file that has those facts. */
  isFile({ dev, ino }: Pick<Facts, 'dev' | 'ino'>): boolean {
    return dev === this.#facts.dev && ino === this.#facts.ino
  }

  body(range: ByteRange = { start: 0, end: this.size - 1 }): StoredBody {
    return new DiskBody(this.#file, range, this.#pool)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#file.close()
  }
}

/** Handed to a client in one piece, in bytes: one that takes a piece too slowly is cut off. */
const pieceSize = 512 * 1024

/** A client that took a piece within this time gets the next buffer in one piece, which is faster. */
const quickMs = 1000

/**
 * Reads into one buffer, again once the sink took what was in it: while a client takes that from the operating system,
 * the next bytes are read.
 */
class DiskBody implements StoredBody {
  readonly #file: OpenFile
  readonly #range: ByteRange
  readonly #pool: BufferPool
  #buffer: Uint8Array | undefined
  #sending = false
  /** Bytes that the buffer holds already. */
  #begun = 0
  #isQuick = false

  constructor(file: OpenFile, range: ByteRange, pool: BufferPool) {
    this.#file = file
    this.#range = range
    this.#pool = pool
  }

  async begin(): Promise<void> {
    if (lengthOf(this.#range) > 0) this.#begun ||= (await this.#read(this.#range.start)).length
  }

  async sendTo(sink: Sink, signal?: AbortSignal): Promise<void> {
    this.#sending = true
    try {
      let position = this.#range.start
      while (position <= this.#range.end) {
        signal?.throwIfAborted()
        const bytes = this.#takeBegun() ?? (await this.#read(position))
        await this.#hand(bytes, sink)
        position += bytes.length
      }
    } finally {
      this.#giveBack()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#sending) this.#giveBack()
    await this.#file.close()
  }

  async #hand(bytes: Uint8Array, sink: Sink): Promise<void> {
    let rest = bytes
    while (rest.length > 0) {
      const piece = this.#isQuick ? rest : rest.subarray(0, pieceSize)
      const handedAt = performance.now()
      await sink.write(piece)
      this.#isQuick = performance.now() - handedAt < quickMs
      rest = rest.subarray(piece.length)
    }
  }

  async #read(position: number): Promise<Uint8Array> {
    const left = this.#range.end - position + 1
    this.#buffer ??= this.#pool.take(left)
    const buffer = this.#buffer
    const { bytesRead } = await this.#file
      .read(buffer, 0, Math.min(buffer.length, left), position)
      .catch((cause: unknown) => {
        throw corrupt('a stored blob cannot be read', { cause })
      })
    if (bytesRead === 0) throw corrupt('a stored blob ended early')
    return buffer.subarray(0, bytesRead)
  }

  #takeBegun(): Uint8Array | undefined {
    const begun = this.#begun
    this.#begun = 0
    return begun > 0 ? this.#buffer?.subarray(0, begun) : undefined
  }

  #giveBack(): void {
    if (this.#buffer) this.#pool.give(this.#buffer)
    this.#buffer = undefined
  }
}
