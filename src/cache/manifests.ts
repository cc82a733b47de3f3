import { SingleFlight } from '../async/single-flight.ts'
import type { Link } from '../metadata/metadata.ts'
import { algorithmOf, type Digest } from '../oci/digest.ts'
import { manifestUnknown } from '../oci/errors.ts'
import { manifestMediaType, needsOf } from '../oci/manifest.ts'
import { type Reference, referenceText } from '../oci/reference.ts'
import type { Descriptor, Manifest, Outlook, Pull, Registry, Resolved } from '../oci/registry.ts'
import { publish } from '../telemetry/events.ts'
import type { Links } from './links.ts'
import type { Negatives } from './negatives.ts'
import { type Cache, contentKey, type Origin } from './origin.ts'
import type { Recovery } from './recovery.ts'
import type { Shared } from './shared.ts'
import type { Stored } from './stored.ts'

/** The manifests of one origin's repositories, by digest: from memory, from the store, or from upstream. */
export class CachedManifests {
  readonly #cache: Cache
  readonly #origin: Origin
  readonly #links: Links
  readonly #stored: Stored
  readonly #recovery: Recovery
  readonly #negatives: Negatives
  readonly #flights = new SingleFlight<Manifest>()

  constructor(cache: Cache, origin: Origin, { links, stored, recovery, negatives }: Shared) {
    this.#cache = cache
    this.#origin = origin
    this.#links = links
    this.#stored = stored
    this.#recovery = recovery
    this.#negatives = negatives
  }

  /** What the repository holds of a manifest, without asking anybody. It counts as no use. */
  async describe(repository: string, digest: Digest, pull?: Pull): Promise<Descriptor | undefined> {
    const link = await this.#link(repository, digest, pull)
    if (!link?.mediaType) return undefined
    const size = this.#cache.memory.get(digest)?.length ?? (await this.#cache.blobs.stat(digest))?.size
    return size === link.size ? { mediaType: link.mediaType, digest, size } : undefined
  }

  /** What a question by digest would come to now, without asking it. It counts as no use. */
  async outlook(repository: string, digest: Digest): Promise<Outlook> {
    if (await this.describe(repository, digest)) return { digest, asks: 'nobody' }
    if (!this.#origin.registry) return { asks: 'nobody', error: manifestUnknown(repository, digest) }
    const negative = this.#negatives.peek(contentKey(repository, digest))
    if (negative) return { asks: 'nobody', error: negative.error, againAt: this.#cache.clock() + negative.forMs }
    return { asks: 'first', ...((await this.#cache.blobs.stat(digest)) && { digest }) }
  }

  /** The same with its bytes, which are hashed when they come from disk. */
  async held(repository: string, digest: Digest, pull?: Pull): Promise<Manifest | undefined> {
    const link = await this.#link(repository, digest, pull)
    return link && this.#read(link, digest)
  }

  /** HEAD by digest; fetches nothing that upstream describes without. */
  async resolve(repository: string, digest: Digest, pull: Pull): Promise<Resolved> {
    const descriptor = await this.describe(repository, digest, pull)
    if (descriptor) {
      this.#cache.uses.note(digest)
      return { descriptor, outcome: { cache: 'hit' } }
    }
    const registry = this.#registry({ repository, digest })
    return this.#noting(contentKey(repository, digest), pull, false, async () => {
      const asked = { repository: this.#origin.nameOf(repository), digest }
      const resolved = await registry.resolve(asked, pull)
      return { ...resolved, outcome: { cache: 'miss' } }
    })
  }

  /** By digest: held, or asked of upstream. */
  async get(repository: string, digest: Digest, pull: Pull): Promise<Manifest> {
    const held = await this.held(repository, digest, pull)
    if (held) return { ...held, outcome: { cache: 'hit' } }
    return (await this.#proven(repository, digest, pull)) ?? (await this.fetch({ repository, digest }, pull))
  }

  /** Asks upstream, once however many ask, and stores what it gives. */
  async fetch(reference: Reference, pull: Pull): Promise<Manifest> {
    const key = contentKey(reference.repository, referenceText(reference))
    return this.#noting(key, pull, this.#flights.has(key), async () => {
      const { joined, result } = this.#flights.do(key, () => this.#fetch(reference, pull.requestId), pull.signal)
      return { ...(await result), outcome: { cache: joined ? 'collapsed' : 'miss' } }
    })
  }

  /** Puts a manifest into the store, for its repository to show. A store that cannot take it keeps nobody from it. */
  async keep(repository: string, { descriptor, bytes }: Manifest): Promise<void> {
    const { digest, mediaType } = descriptor
    try {
      await using writer = await this.#cache.blobs.create(algorithmOf(digest), bytes.length)
      await writer.write(bytes)
      await writer.commit({ digest, size: bytes.length })
    } catch (error) {
      const message = 'a manifest could not be stored'
      publish('cistern:fault', { where: 'blobs', kind: 'internal', message, repository, reference: digest, error })
      return
    }
    this.#cache.memory.set(digest, bytes)
    await this.#links.vouch(repository, digest, { size: bytes.length, mediaType, needs: needsOf(bytes) })
  }

  async #fetch(reference: Reference, requestId: string | undefined): Promise<Manifest> {
    const { repository } = reference
    const registry = this.#registry(reference)
    const manifest = await registry.manifest(
      { ...reference, repository: this.#origin.nameOf(repository) },
      { requestId },
    )
    await this.keep(repository, manifest)
    return manifest
  }

  /** Bytes that another repository brought in are shown once upstream confirms, by HEAD, that this one has them. */
  async #proven(repository: string, digest: Digest, pull: Pull): Promise<Manifest | undefined> {
    if (!(await this.#cache.blobs.stat(digest))) return undefined
    const registry = this.#registry({ repository, digest })
    const key = contentKey(repository, digest)
    const prove = async () => {
      const asked = { repository: this.#origin.nameOf(repository), digest }
      const { descriptor } = await registry.resolve(asked, { requestId: pull.requestId })
      const { size, mediaType } = descriptor
      const manifest = await this.#read({ size, mediaType }, digest)
      if (!manifest) return this.#fetch({ repository, digest }, pull.requestId)
      manifestMediaType(manifest.bytes, mediaType) // this upstream may call the same bytes something else
      await this.#links.vouch(repository, digest, { size, mediaType, needs: needsOf(manifest.bytes) })
      return manifest
    }
    const flight = `${key} proof`
    return this.#noting(key, pull, this.#flights.has(flight), async () => {
      const manifest = await this.#flights.do(flight, prove, pull.signal).result
      return { ...manifest, outcome: { cache: 'revalidated' } }
    })
  }

  /** A question to upstream: not asked while the answer is known to be no, and not by a client that asks too much. */
  async #noting<T>(key: string, pull: Pull, joins: boolean, ask: () => Promise<T>): Promise<T> {
    if (!pull.refresh) this.#negatives.check(key)
    if (!joins) pull.admit?.()
    try {
      return await ask()
    } catch (error) {
      this.#negatives.note(key, error)
      throw error
    }
  }

  /** A digest that is only known as a blob may be a manifest's all the same. */
  async #link(repository: string, digest: Digest, pull?: Pull): Promise<Link | undefined> {
    const link = await this.#links.get(repository, digest)
    return link?.mediaType ? link : this.#recovery.manifest(repository, digest, pull)
  }

  async #read(link: Pick<Link, 'size' | 'mediaType'>, digest: Digest): Promise<Manifest | undefined> {
    if (!link.mediaType) return undefined
    const bytes = this.#cache.memory.get(digest) ?? (await this.#load(digest, link.size))
    if (bytes?.length !== link.size) return undefined
    this.#cache.uses.note(digest)
    return { descriptor: { mediaType: link.mediaType, digest, size: link.size }, bytes }
  }

  async #load(digest: Digest, size: number): Promise<Uint8Array | undefined> {
    const bytes = await this.#stored.bytes(digest, (blob) => blob.size === size)
    if (bytes) this.#cache.memory.set(digest, bytes)
    return bytes
  }

  #registry(reference: Reference): Registry {
    if (!this.#origin.registry) throw manifestUnknown(reference.repository, referenceText(reference))
    return this.#origin.registry
  }
}
