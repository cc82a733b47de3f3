import { type Algorithm, type Digest, digestOf } from '../oci/digest.ts'
import { corrupt } from '../oci/errors.ts'
import type { ByteRange } from '../oci/range.ts'
import type { BlobInfo, BlobStore, BlobWriter, OpenBlob, StoredBody } from './blob-store.ts'

type Stored = { bytes: Uint8Array; storedAt: number; usedAt: number }

/** Blobs in memory, for tests and demonstrations. */
export class MemoryStore implements BlobStore {
  readonly #blobs = new Map<Digest, Stored>()

  async stat(digest: Digest): Promise<BlobInfo | undefined> {
    const blob = this.#blobs.get(digest)
    return blob && { digest, size: blob.bytes.length, usedAt: blob.usedAt }
  }

  async open(digest: Digest): Promise<OpenBlob | undefined> {
    const blob = this.#blobs.get(digest)
    return blob && new MemoryBlob(blob)
  }

  async create(algorithm: Algorithm): Promise<BlobWriter> {
    return new MemoryWriter(algorithm, (digest, bytes) => {
      const now = Date.now()
      this.#blobs.set(digest, { bytes, storedAt: now, usedAt: now })
    })
  }

  async touch(digest: Digest, usedAt: number): Promise<void> {
    const blob = this.#blobs.get(digest)
    if (blob) blob.usedAt = usedAt
  }

  async delete(digest: Digest): Promise<boolean> {
    return this.#blobs.delete(digest)
  }

  /** What is put aside is gone. */
  async quarantine(digest: Digest, found?: OpenBlob): Promise<boolean> {
    const replaced = found instanceof MemoryBlob && found.stored !== this.#blobs.get(digest)
    return !replaced && this.#blobs.delete(digest)
  }

  async *list(): AsyncIterable<BlobInfo> {
    for (const [digest, { bytes, usedAt }] of this.#blobs) yield { digest, size: bytes.length, usedAt }
  }
}

class MemoryBlob implements OpenBlob {
  readonly stored: Stored

  constructor(stored: Stored) {
    this.stored = stored
  }

  get size(): number {
    return this.stored.bytes.length
  }

  get storedAt(): number {
    return this.stored.storedAt
  }

  body(range: ByteRange = { start: 0, end: this.size - 1 }): StoredBody {
    return {
      begin: async () => {},
      sendTo: async (sink, signal) => {
        signal?.throwIfAborted()
        if (range.end >= range.start) await sink.write(this.stored.bytes.subarray(range.start, range.end + 1))
      },
      [Symbol.asyncDispose]: async () => {},
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

class MemoryWriter implements BlobWriter {
  readonly #algorithm: Algorithm
  readonly #publish: (digest: Digest, bytes: Uint8Array) => void
  #bytes = Buffer.alloc(0)

  constructor(algorithm: Algorithm, publish: (digest: Digest, bytes: Uint8Array) => void) {
    this.#algorithm = algorithm
    this.#publish = publish
  }

  get written(): number {
    return this.#bytes.length
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#bytes = Buffer.concat([this.#bytes, chunk])
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    return this.#bytes.copy(target, 0, position)
  }

  digest(): Digest {
    return digestOf(this.#bytes, this.#algorithm)
  }

  async commit(expected: { digest: Digest; size?: number }): Promise<BlobInfo> {
    const size = this.#bytes.length
    if ((expected.size ?? size) !== size || expected.digest !== this.digest()) throw corrupt('not what was expected')
    this.#publish(expected.digest, this.#bytes)
    return { digest: expected.digest, size, usedAt: Date.now() }
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
