import type { BlobInfo, BlobWriter } from '../blobs/blob-store.ts'
import { type Algorithm, type Digest, Digester } from '../oci/digest.ts'

/** Stands in for a writer that could not be made: it hashes what it is given, and every write fails as that did. */
export class UnstoredWriter implements BlobWriter {
  readonly written = 0
  readonly #digester: Digester
  readonly #reason: unknown
  #digest: Digest | undefined

  constructor(algorithm: Algorithm, reason: unknown) {
    this.#digester = new Digester(algorithm)
    this.#reason = reason
  }

  write(chunk: Uint8Array): Promise<void> {
    this.#digester.update(chunk)
    return Promise.reject(this.#reason)
  }

  async read(): Promise<number> {
    return 0
  }

  digest(): Digest {
    this.#digest ??= this.#digester.finish()
    return this.#digest
  }

  commit(): Promise<BlobInfo> {
    return Promise.reject(this.#reason)
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
