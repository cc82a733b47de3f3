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

/** Reads into one buffer while the sink takes the other. */
class DiskBody implements StoredBody {
  readonly #file: OpenFile
  readonly #range: ByteRange
  readonly #pool: BufferPool
  readonly #buffers: Uint8Array[] = []
  #sending = false
  /** Bytes that the first buffer holds already. */
  #begun = 0

  constructor(file: OpenFile, range: ByteRange, pool: BufferPool) {
    this.#file = file
    this.#range = range
    this.#pool = pool
  }

  async begin(): Promise<void> {
    if (lengthOf(this.#range) > 0) this.#begun ||= (await this.#read(0, this.#range.start)).length
  }

  async sendTo(sink: Sink, signal?: AbortSignal): Promise<void> {
    this.#sending = true
    let taken = Promise.resolve()
    try {
      let position = this.#range.start
      for (let turn = 0; position <= this.#range.end; turn ^= 1) {
        signal?.throwIfAborted()
        const bytes = this.#takeBegun() ?? (await this.#read(turn, position))
        await taken
        taken = Promise.resolve(sink.write(bytes))
        taken.catch(() => {}) // awaited after the next read, or in the end
        position += bytes.length
      }
      await taken
    } finally {
      await taken.catch(() => {}) // the sink may hold the buffer until it settles
      this.#giveBack()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#sending) this.#giveBack()
    await this.#file.close()
  }

  async #read(turn: number, position: number): Promise<Uint8Array> {
    const left = this.#range.end - position + 1
    const buffer = this.#buffers[turn] ?? this.#pool.take(left)
    this.#buffers[turn] = buffer
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
    return begun > 0 ? this.#buffers[0]?.subarray(0, begun) : undefined
  }

  #giveBack(): void {
    for (const buffer of this.#buffers.splice(0)) this.#pool.give(buffer)
  }
}
