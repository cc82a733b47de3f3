import { setImmediate as nextTurn } from 'node:timers/promises'
import type { BlobStore } from '../blobs/blob-store.ts'
import { linkKey, type Metadata, tagKey } from '../metadata/metadata.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { publish } from '../telemetry/events.ts'
import type { PullTimes } from './pull-times.ts'

export type DeletionOptions = {
  metadata: Metadata
  blobs: BlobStore
  pullTimes: PullTimes
  /** Milliseconds since the epoch. */
  clock: () => number
  /** Whether content is on its way into the store, held by some work, or was asked for since then. */
  isInUse: (digest: Digest, since: number) => boolean
  /** Lets go of what is in memory of content whose bytes go. */
  forget: (digest: Digest) => void
}

/** What went from the disk. */
export type Freed = { bytes: number; objects: number }

/** `images` went, each with the tags that it had; `referenced` stay, for an index that stays lists them. */
export type Deleted = {
  images: ReadonlyMap<Digest, readonly string[]>
  referenced: readonly Digest[]
  freed: Freed
}

/** What a repository holds: every digest, with what it needs where it is a manifest. */
type Held = ReadonlyMap<Digest, readonly Digest[] | undefined>

/**
 * Deletes from the cache; what went is fetched again by the next pull. Facts go first, then the bytes that no image of
 * any repository needs any more, which takes reading all links once: whoever deletes several images of a repository
 * does it in one call. Deletions come one after the other. Readers with a blob open read on, and what is on its way into
 * the store, or asked for meanwhile, is left to eviction. One that is cut short leaves bytes that nobody is shown.
 */
export class Deletion {
  readonly #options: DeletionOptions
  #lastTurn: Promise<unknown> = Promise.resolve()

  constructor(options: DeletionOptions) {
    this.#options = options
  }

  /** Deletes tags, and nothing of what they point to. */
  async untag(repository: string, tags: Iterable<string>): Promise<void> {
    for (const tag of tags) await this.#options.metadata.tags.delete(tagKey(repository, tag))
  }

  /**
   * Deletes images with their tags. With an index goes what only it lists, unless that has a tag of its own. What the
   * repository does not hold is passed over.
   */
  images(repository: string, digests: Iterable<Digest>): Promise<Deleted> {
    return this.#inTurn(async () => {
      const held = await this.#heldBy(repository)
      const wanted = new Set([...digests].filter((digest) => held.get(digest)))
      const going = withoutReferenced(wanted, held)
      const referenced = [...wanted].filter((digest) => !going.has(digest))
      await this.#addChildren(going, held, repository)
      const kept = new Set([...held].flatMap(([digest, needs = []]) => (going.has(digest) ? [] : needs)))
      const needed = [...going].flatMap((digest) => held.get(digest) ?? [])
      const loose = new Set(needed.filter((digest) => !kept.has(digest) && !held.get(digest)))
      const images = new Map<Digest, string[]>()
      for (const digest of going) images.set(digest, await this.#unlink(repository, digest))
      for (const digest of loose) await this.#unlink(repository, digest)
      const freed = await this.#free(new Set([...going, ...loose]))
      return { images, referenced, freed }
    })
  }

  /** Deletes all that a repository holds. That there is such a repository is the caller's to forget. */
  everything(repository: string): Promise<Deleted> {
    return this.#inTurn(async () => {
      const held = await this.#heldBy(repository)
      const images = new Map<Digest, string[]>()
      for (const [digest, needs] of held) {
        const tags = await this.#unlink(repository, digest)
        if (needs) images.set(digest, tags)
      }
      const left = tagKey(repository, '')
      for await (const [key] of this.#options.metadata.tags.entries({ prefix: left })) {
        await this.#options.metadata.tags.delete(key)
      }
      const freed = await this.#free(new Set([...held].flatMap(([digest, needs = []]) => [digest, ...needs])))
      return { images, referenced: [], freed }
    })
  }

  /** Deletes the bytes of those that nothing links to, and that no image of any repository needs. */
  free(digests: Iterable<Digest>): Promise<Freed> {
    return this.#inTurn(() => this.#free(new Set(digests)))
  }

  async #heldBy(repository: string): Promise<Held> {
    const held = new Map<Digest, readonly Digest[] | undefined>()
    const prefix = linkKey(repository, '' as Digest)
    for await (const [key, { mediaType, needs = [] }] of this.#options.metadata.links.entries({ prefix })) {
      const digest = key.slice(prefix.length)
      if (isDigest(digest)) held.set(digest, mediaType === undefined ? undefined : needs)
    }
    return held
  }

  async #addChildren(going: Set<Digest>, held: Held, repository: string): Promise<void> {
    const parents = parentsIn(held)
    for (const digest of going) {
      for (const child of held.get(digest) ?? []) {
        if (!held.get(child) || !parents.get(child)?.every((parent) => going.has(parent))) continue
        const tags = await this.#options.metadata.tagsOf(repository, child)
        if (tags.length === 0) going.add(child)
      }
    }
  }

  /** Resolves to the tags that went with it. Others have their turn in between: metadata may answer at once. */
  async #unlink(repository: string, digest: Digest): Promise<string[]> {
    await nextTurn()
    const { metadata, pullTimes } = this.#options
    const key = linkKey(repository, digest)
    const tags = await metadata.tagsOf(repository, digest)
    await this.untag(repository, tags)
    await metadata.referrers.delete(key)
    await metadata.links.delete(key)
    await pullTimes.forget(repository, digest)
    return tags
  }

  /** Deletes the bytes of those that nothing links to, and no manifest needs, in any repository. */
  async #free(digests: Set<Digest>): Promise<Freed> {
    const { metadata, blobs, clock, isInUse, forget } = this.#options
    const since = clock()
    const freed = { bytes: 0, objects: 0 }
    if (digests.size === 0) return freed
    for await (const [key, { needs = [] }] of metadata.links.entries()) {
      digests.delete(key.slice(key.lastIndexOf('@') + 1) as Digest)
      for (const digest of needs) digests.delete(digest)
      if (digests.size === 0) return freed
    }
    for (const digest of digests) {
      if (isInUse(digest, since)) continue
      forget(digest)
      const info = await blobs.stat(digest)
      const deleted = await blobs.delete(digest).catch((error: unknown) => {
        const message = 'a deleted blob could not be removed'
        publish('cistern:fault', { where: 'blobs', kind: 'internal', message, reference: digest, error })
      })
      if (!info || !deleted) continue
      freed.bytes += info.size
      freed.objects++
    }
    return freed
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#lastTurn.then(work, work)
    this.#lastTurn = turn
    return turn
  }
}

/** Those of which every manifest that lists them is among them. */
function withoutReferenced(wanted: ReadonlySet<Digest>, held: Held): Set<Digest> {
  const parents = parentsIn(held)
  const going = new Set(wanted)
  for (let before = -1; before !== going.size; ) {
    before = going.size
    for (const digest of going) {
      if (parents.get(digest)?.some((parent) => !going.has(parent))) going.delete(digest)
    }
  }
  return going
}

/** By manifest, the manifests that list it. */
function parentsIn(held: Held): Map<Digest, Digest[]> {
  const parents = new Map<Digest, Digest[]>()
  for (const [parent, needs = []] of held) {
    for (const child of needs) {
      if (!held.get(child)) continue
      const known = parents.get(child)
      if (known) known.push(parent)
      else parents.set(child, [parent])
    }
  }
  return parents
}
