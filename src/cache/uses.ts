import { LRUCache } from 'lru-cache'
import type { BlobStore } from '../blobs/blob-store.ts'
import type { Digest } from '../oci/digest.ts'
import { publish } from '../telemetry/events.ts'
import type { Clock } from './origin.ts'

/** Uses closer together than this count as one: a use costs a write to disk. */
const resolutionMs = 60_000
const maxDigests = 100_000

/** Notes what is in use, for eviction to know what is not. */
export class Uses {
  readonly #blobs: BlobStore
  readonly #clock: Clock
  readonly #latest = new LRUCache<Digest, number>({ max: maxDigests })

  constructor(blobs: BlobStore, clock: Clock) {
    this.#blobs = blobs
    this.#clock = clock
  }

  /** Waits for nothing: that a use is not on disk yet is no reason to keep a client waiting. */
  note(digest: Digest): void {
    const now = this.#clock()
    if (now - (this.#latest.get(digest) ?? Number.NEGATIVE_INFINITY) < resolutionMs) return
    this.#latest.set(digest, now)
    this.#blobs.touch(digest, now).catch((error: unknown) => {
      publish('cistern:fault', {
        where: 'blobs',
        kind: 'internal',
        message: 'a use was not noted',
        reference: digest,
        error,
      })
    })
  }

  /** When the digest was last used, as far as this process remembers. */
  latest(digest: Digest): number | undefined {
    return this.#latest.peek(digest)
  }
}
