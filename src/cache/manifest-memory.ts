import { LRUCache } from 'lru-cache'
import type { Digest } from '../oci/digest.ts'

/** Manifests most asked for, by digest, bounded by their bytes. */
export class ManifestMemory {
  readonly #manifests: LRUCache<Digest, Uint8Array>

  /** `maxBytes` of 0 keeps none. */
  constructor(maxBytes: number) {
    this.#manifests = new LRUCache({ maxSize: Math.max(1, maxBytes), sizeCalculation: (bytes) => bytes.length + 256 })
  }

  get(digest: Digest): Uint8Array | undefined {
    return this.#manifests.get(digest)
  }

  delete(digest: Digest): void {
    this.#manifests.delete(digest)
  }

  set(digest: Digest, bytes: Uint8Array): void {
    this.#manifests.set(digest, bytes)
  }
}
