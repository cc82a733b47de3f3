import { LRUCache } from 'lru-cache'
import { SingleFlight } from '../async/single-flight.ts'
import type { OpenBlob } from '../blobs/blob-store.ts'
import type { Link } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import { isKind } from '../oci/errors.ts'
import { manifestMediaType, maxManifestSize, needsOf } from '../oci/manifest.ts'
import type { Pull } from '../oci/registry.ts'
import { isAnonymous } from '../rules/rule.ts'
import type { Links } from './links.ts'
import type { Cache, Origin } from './origin.ts'
import type { Stored } from './stored.ts'

const maxVerified = 100_000

/**
 * What the store still holds after the metadata were lost. Under a rule without a credential anybody may have what
 * upstream has, and a digest asks for nothing but its bytes: what was stored before the loss is shown again, at once,
 * if it hashes right. Under any other rule upstream says first who may have it.
 */
export class Recovery {
  readonly #since: () => number
  readonly #open: boolean
  readonly #stored: Stored
  readonly #links: Links
  readonly #verified = new LRUCache<Digest, number>({ max: maxVerified })
  readonly #flights = new SingleFlight<number | undefined>()

  constructor(cache: Cache, origin: Origin, stored: Stored, links: Links) {
    this.#since = () => cache.metadata.since
    this.#open = origin.rule !== undefined && isAnonymous(origin.rule)
    this.#stored = stored
    this.#links = links
  }

  /** The link of a blob to a repository of which nothing is known any more. */
  async blob(repository: string, digest: Digest, pull: Pull = {}): Promise<Link | undefined> {
    if (!this.#open) return undefined
    const size = await this.examine(digest)
    if (size === undefined) return undefined
    pull.admit?.()
    return this.#links.vouch(repository, digest, { size })
  }

  /** The same of a manifest. */
  async manifest(repository: string, digest: Digest, pull: Pull = {}): Promise<Link | undefined> {
    if (!this.#open) return undefined
    const bytes = await this.#stored.bytes(digest, (blob) => blob.size <= maxManifestSize && this.#isOlder(blob))
    const mediaType = bytes && mediaTypeOf(bytes)
    if (!mediaType) return undefined
    pull.admit?.()
    return this.#links.vouch(repository, digest, { size: bytes.length, mediaType, needs: needsOf(bytes) })
  }

  /**
   * Hashes, once, a blob that was stored before the loss: nobody knows what size it should have. Resolves to its size;
   * to `undefined` for a later one, of which that is known, and for a damaged one, which is put aside.
   */
  async examine(digest: Digest): Promise<number | undefined> {
    const known = this.#verified.get(digest)
    if (known !== undefined) return known
    const verify = async () => {
      const size = await this.#stored.verify(digest, (blob) => this.#isOlder(blob))
      if (size !== undefined) this.#verified.set(digest, size)
      return size
    }
    return this.#flights.do(digest, verify).result
  }

  #isOlder({ storedAt }: OpenBlob): boolean {
    return storedAt < this.#since()
  }
}

/** Of what may be a blob of another kind as well. */
function mediaTypeOf(bytes: Uint8Array): string | undefined {
  try {
    return manifestMediaType(bytes, undefined)
  } catch (error) {
    if (isKind(error, 'corrupt')) return undefined
    throw error
  }
}
