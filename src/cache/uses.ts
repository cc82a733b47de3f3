import { LRUCache } from 'lru-cache'
import type { BlobStore } from '../blobs/blob-store.ts'
import type { Digest } from '../oci/digest.ts'
import { publish } from '../telemetry/events.ts'
import type { Clock } from './clock.ts'

/** Uses closer together than this are written down once: that costs a write to disk. */
const resolutionMs = 60_000
const maxDigests = 100_000

/** Notes what is in use, for eviction to know what is not. */
export class Uses {
  readonly #blobs: BlobStore
  readonly #clock: Clock
  readonly #latest = new LRUCache<Digest, { usedAt: number; writtenAt: number }>({ max: maxDigests })

  constructor(blobs: BlobStore, clock: Clock) {
    this.#blobs = blobs
    this.#clock = clock
  }

  /** Waits for nothing: that a use is not on disk yet is no reason to keep a client waiting. */
  note(digest: Digest): void {
    const now = this.#clock()
    const known = this.#latest.get(digest)
    const written = known !== undefined && now - known.writtenAt < resolutionMs
    this.#latest.set(digest, { usedAt: now, writtenAt: written ? known.writtenAt : now })
    if (written) return
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
    return this.#latest.peek(digest)?.usedAt
  }
}
