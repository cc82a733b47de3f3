import { SingleFlight, untilAborted } from '../async/single-flight.ts'
import type { Link } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import { blobUnknown, isKind } from '../oci/errors.ts'
import { lengthOf, type RangeSpec, resolveRange } from '../oci/range.ts'
import type { BlobRead, Descriptor, Outcome, Pull, Registry } from '../oci/registry.ts'
import { bodyOf } from './bytes-body.ts'
import type { Fill } from './fill.ts'
import type { Flight } from './fills.ts'
import type { Links } from './links.ts'
import type { Negatives } from './negatives.ts'
import { type Cache, contentKey, type Origin } from './origin.ts'
import type { Recovery } from './recovery.ts'
import type { Shared } from './shared.ts'
import { batchSize } from './spool.ts'
import type { Stored } from './stored.ts'

type BlobPull = Pull & { range?: RangeSpec | undefined }

/** A range this far ahead of the writer is not waited for, if it is short: it goes upstream by itself. */
const farAhead = 64 * 1024 * 1024
const shortRange = 4 * 1024 * 1024
const maxDirectReads = 2

/** The largest blob that is kept in memory: configurations of images are, layers are not. */
const maxSmall = 64 * 1024

/** The blobs of one origin's repositories: served from the store, or through a fill that puts them there. */
export class CachedBlobs {
  readonly #cache: Cache
  readonly #origin: Origin
  readonly #links: Links
  readonly #stored: Stored
  readonly #recovery: Recovery
  readonly #negatives: Negatives
  readonly #proofs = new SingleFlight<Link>()
  readonly #directReads = new WeakMap<Fill, number>()

  constructor(cache: Cache, origin: Origin, { links, stored, recovery, negatives }: Shared) {
    this.#cache = cache
    this.#origin = origin
    this.#links = links
    this.#stored = stored
    this.#recovery = recovery
    this.#negatives = negatives
  }

  async stat(repository: string, digest: Digest, pull: Pull): Promise<Descriptor & { outcome: Outcome }> {
    const link = await this.#link(repository, digest, pull)
    if (link && (await this.#cache.blobs.stat(digest))?.size === link.size) return described(digest, link, 'hit')
    const registry = this.#registry(repository, digest)
    this.#negatives.check(blobKey(repository, digest))
    pull.admit?.()
    try {
      const { size } = await registry.stat(this.#origin.nameOf(repository), digest, pull)
      return described(digest, { size }, 'miss')
    } catch (error) {
      this.#negatives.note(blobKey(repository, digest), error)
      throw error
    }
  }

  async open(repository: string, digest: Digest, pull: BlobPull): Promise<BlobRead> {
    // A fill is looked for before the store: it is forgotten only after its blob and its link are there.
    const flight = this.#cache.fills.find(digest, this.#origin.upstream)
    const link = await this.#link(repository, digest, pull)
    const hit = link && (await this.#read(digest, link, pull, 'hit'))
    if (hit) return hit
    if (flight) {
      const joined = await this.#join(flight, repository, digest, link, pull)
      if (joined) return joined
    }
    const registry = this.#registry(repository, digest)
    this.#negatives.check(blobKey(repository, digest))
    if (!link && (await this.#cache.blobs.stat(digest))) {
      const proof = await this.#prove(registry, repository, digest, pull)
      await this.#recovery.examine(digest)
      const shared = await this.#read(digest, proof, pull, 'revalidated')
      if (shared) return shared
    }
    return this.#fetch(registry, repository, digest, pull)
  }

  async #link(repository: string, digest: Digest, pull: Pull): Promise<Link | undefined> {
    return (await this.#links.get(repository, digest)) ?? (await this.#recovery.blob(repository, digest, pull))
  }

  /** What is on disk; a file of another size than upstream stated is not the blob. */
  async #read(
    digest: Digest,
    { size }: { size: number },
    { range, requestId, readsStore }: BlobPull,
    cache: Outcome['cache'],
  ): Promise<BlobRead | undefined> {
    const read =
      size <= maxSmall
        ? await this.#small(digest, size, range)
        : (readsStore && (await this.#unopened(digest, size, range))) ||
          (await this.#stored.read(digest, size, { range, requestId }))
    if (!read) return undefined
    this.#cache.uses.note(digest)
    return { descriptor: { mediaType: octetStream, digest, size }, outcome: { cache }, ...read }
  }

  /** From memory; what comes from disk is hashed first. */
  async #small(
    digest: Digest,
    size: number,
    range: RangeSpec | undefined,
  ): Promise<Pick<BlobRead, 'body' | 'range' | 'bytes'> | undefined> {
    const { memory } = this.#cache
    const bytes = memory.get(digest) ?? (await this.#stored.bytes(digest, (blob) => blob.size === size))
    if (bytes?.length !== size) return undefined
    memory.set(digest, bytes)
    const part = range && resolveRange(range, size)
    return { bytes, body: bodyOf(bytes, part), ...(part && { range: part }) }
  }

  /** For a caller who opens it. `undefined` for what is not there as it should be: that is not the caller's to find out. */
  async #unopened(
    digest: Digest,
    size: number,
    range: RangeSpec | undefined,
  ): Promise<Pick<BlobRead, 'body' | 'range' | 'stored'> | undefined> {
    if ((await this.#cache.blobs.stat(digest))?.size !== size) return undefined
    const part = range && resolveRange(range, size)
    return { stored: true, body: bodyOf(new Uint8Array(0)), ...(part && { range: part }) }
  }

  /**
   * Reads a running fill. A repository that is not known to hold the blob proves it first. `undefined` where the fill
   * never opened and it was somebody else's question that failed.
   */
  async #join(
    flight: Flight,
    repository: string,
    digest: Digest,
    link: Link | undefined,
    pull: BlobPull,
  ): Promise<BlobRead | undefined> {
    const own = flight.openedBy === repository
    if (!own && !link) await this.#prove(this.#registry(repository, digest), repository, digest, pull)
    try {
      const fill = await untilAborted(flight.fill, pull.signal)
      return (await this.#follow(fill, repository, pull, 'collapsed')) ?? (await this.open(repository, digest, pull))
    } catch (error) {
      if (own || pull.signal?.aborted || isKind(error, 'range')) throw error
      return undefined
    }
  }

  async #fetch(registry: Registry, repository: string, digest: Digest, pull: BlobPull): Promise<BlobRead> {
    // One that began meanwhile may be another repository's, which is joined only with a proof.
    if (this.#cache.fills.find(digest, this.#origin.upstream)) return this.open(repository, digest, pull)
    pull.admit?.()
    const flight = this.#start(registry, repository, digest, pull.requestId)
    try {
      const fill = await untilAborted(flight.fill, pull.signal)
      const read = await this.#follow(fill, repository, pull, 'miss')
      return read ?? (await this.open(repository, digest, pull))
    } catch (error) {
      this.#negatives.note(blobKey(repository, digest), error)
      throw error
    }
  }

  /** Upstream is asked without the client's signal: the fill is not the client's. Its answer is the authorization. */
  #start(registry: Registry, repository: string, digest: Digest, requestId: string | undefined): Flight {
    return this.#cache.fills.start(digest, {
      openedBy: repository,
      upstream: this.#origin.upstream,
      requestId,
      open: (start, signal) => {
        const range = start > 0 ? { range: { start } } : {}
        return registry.blob(this.#origin.nameOf(repository), digest, { requestId, signal, ...range })
      },
      committed: async (size) => {
        await this.#links.vouch(repository, digest, { size })
      },
    })
  }

  /** `undefined` where the fill ended meanwhile and the store has the blob. */
  async #follow(
    fill: Fill,
    repository: string,
    pull: BlobPull,
    cache: Outcome['cache'],
  ): Promise<BlobRead | undefined> {
    const { digest, size } = fill
    const range = pull.range && resolveRange(pull.range, size)
    if (range && range.start > fill.received + farAhead && lengthOf(range) <= shortRange) {
      const direct = await this.#readAhead(fill, repository, digest, { ...pull, range })
      if (direct) return direct
    }
    const body = fill.read(range ?? { start: 0, end: size - 1 })
    if (!body) return undefined
    try {
      if (size <= batchSize) await untilAborted(fill.verified, pull.signal)
    } catch (error) {
      await body[Symbol.asyncDispose]()
      throw error
    }
    const descriptor = { mediaType: octetStream, digest, size }
    return { descriptor, body, outcome: { cache }, ...(range && { range }) }
  }

  /** A short range far ahead of the writer, straight from upstream; `undefined` where that is no quicker than the fill. */
  async #readAhead(fill: Fill, repository: string, digest: Digest, pull: BlobPull): Promise<BlobRead | undefined> {
    const count = this.#directReads.get(fill) ?? 0
    const registry = this.#origin.registry
    if (!registry || count >= maxDirectReads) return undefined
    this.#directReads.set(fill, count + 1)
    const done = () => this.#directReads.set(fill, (this.#directReads.get(fill) ?? 1) - 1)
    try {
      const read = await registry.blob(this.#origin.nameOf(repository), digest, { ...pull, check: true })
      return { ...read, outcome: { cache: 'miss' }, body: onDispose(read.body, done) }
    } catch (error) {
      done()
      if (isKind(error, 'throttled')) return undefined
      throw error
    }
  }

  /** Has upstream confirm, by one HEAD however many ask, that the repository holds the blob. */
  async #prove(registry: Registry, repository: string, digest: Digest, pull: Pull): Promise<Link> {
    const key = blobKey(repository, digest)
    this.#negatives.check(key)
    if (!this.#proofs.has(key)) pull.admit?.()
    const { result } = this.#proofs.do(
      key,
      async () => {
        const { size } = await registry.stat(this.#origin.nameOf(repository), digest, { requestId: pull.requestId })
        return this.#links.vouch(repository, digest, { size })
      },
      pull.signal,
    )
    return result.catch((error: unknown) => {
      this.#negatives.note(key, error)
      throw error
    })
  }

  /** The upstream to ask, where one may be asked. */
  #registry(repository: string, digest: Digest): Registry {
    if (!this.#origin.registry) throw blobUnknown(repository, digest)
    return this.#origin.registry
  }
}

/** Not that of a manifest of the same digest: what upstream says of one says nothing about the other. */
const blobKey = (repository: string, digest: Digest): string => contentKey(repository, `blobs/${digest}`)

const octetStream = 'application/octet-stream'

const described = (digest: Digest, { size }: { size: number }, cache: Outcome['cache']) => ({
  mediaType: octetStream,
  digest,
  size,
  outcome: { cache },
})

function onDispose(body: BlobRead['body'], done: () => void): BlobRead['body'] {
  return {
    sendTo: (sink, signal) => body.sendTo(sink, signal),
    [Symbol.asyncDispose]: async () => {
      done()
      await body[Symbol.asyncDispose]()
    },
  }
}
