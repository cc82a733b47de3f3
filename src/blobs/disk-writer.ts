import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Algorithm, type Digest, Digester } from '../oci/digest.ts'
import { corrupt } from '../oci/errors.ts'
import type { BlobInfo, BlobWriter } from './blob-store.ts'
import type { OpenFile } from './file-system.ts'

/** Hashing is the only long computation here; between slices the event loop serves others. In bytes. */
const hashSlice = 64 * 1024

type Ends = {
  /** Gives the synced file its name. */
  publish: (digest: Digest) => Promise<void>
  /** Removes it. */
  abandon: () => Promise<void>
}

/** Writes a temporary file, hashes what it writes, and gives it its name only when all of it is right and on disk. */
export class DiskWriter implements BlobWriter {
  readonly #file: OpenFile
  readonly #digester: Digester
  readonly #ends: Ends
  #digest: Digest | undefined
  #written = 0
  #published = false
  #failure: { reason: unknown } | undefined
  #lost: { cause: unknown } | undefined

  /** Owns `file` from here on. */
  constructor(file: OpenFile, algorithm: Algorithm, ends: Ends) {
    this.#file = file
    this.#digester = new Digester(algorithm)
    this.#ends = ends
  }

  get written(): number {
    return this.#written
  }

  async write(chunk: Uint8Array): Promise<void> {
    const [, stored] = await Promise.allSettled([this.#hash(chunk), this.#append(chunk)])
    if (stored.status === 'rejected') this.#failure ??= { reason: stored.reason }
    if (this.#failure) throw this.#failure.reason
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    if (this.#lost) throw corrupt('what was written is lost', this.#lost)
    const length = Math.min(target.length, this.#written - position)
    const { bytesRead } = await this.#file.read(target, 0, length, position)
    if (bytesRead === 0 && length > 0) throw corrupt('what was written is gone')
    return bytesRead
  }

  digest(): Digest {
    this.#digest ??= this.#digester.finish()
    return this.#digest
  }

  async commit(expected: { digest: Digest; size?: number }): Promise<BlobInfo> {
    if (this.#failure) throw this.#failure.reason
    if (expected.size !== undefined && expected.size !== this.#written) {
      throw corrupt(`expected ${expected.size} bytes, got ${this.#written}`)
    }
    if (expected.digest !== this.digest()) throw corrupt(`expected ${expected.digest}, got ${this.digest()}`)
    await this.#sync()
    await this.#ends.publish(expected.digest)
    this.#published = true
    return { digest: expected.digest, size: this.#written, usedAt: Date.now() }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#file.close()
    } finally {
      if (!this.#published) await this.#ends.abandon()
    }
  }

  /** After an error here the bytes are lost, whatever a second sync or a read says: there is no retry. */
  async #sync(): Promise<void> {
    try {
      await this.#file.sync()
    } catch (cause) {
      this.#lost = { cause }
      throw cause
    }
  }

  async #append(chunk: Uint8Array): Promise<void> {
    if (this.#failure) return
    for (let done = 0; done < chunk.length; ) {
      const { bytesWritten } = await this.#file.write(chunk, done, chunk.length - done, this.#written)
      done += bytesWritten
      this.#written += bytesWritten
    }
  }

  async #hash(chunk: Uint8Array): Promise<void> {
    for (let done = 0; done < chunk.length; done += hashSlice) {
      if (done > 0) await nextTurn()
      this.#digester.update(chunk.subarray(done, done + hashSlice))
    }
  }
}
