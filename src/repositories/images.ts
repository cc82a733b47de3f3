import type { BlobStore } from '../blobs/blob-store.ts'
import { type Link, linkKey, type Metadata, tagKey } from '../metadata/metadata.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { isIndex } from '../oci/manifest.ts'
import type { Rule } from '../rules/rule.ts'
import { type ManifestFacts, ManifestReader } from './manifest-reader.ts'

export type ImagesOptions = {
  metadata: Pick<Metadata, 'links' | 'tags' | 'tagsOf'>
  blobs: BlobStore
  /** The rule that a repository of ours belongs to now. */
  ruleOf: (repository: string) => Rule | undefined
}

/** A manifest that a repository holds. */
export type Image = {
  digest: Digest
  mediaType: string
  /** When the repository came to hold it, in milliseconds since the epoch. */
  heldSince: number
}

/** An index is as large as the largest of what it lists that is cached. */
export type ImageFacts = Omit<ManifestFacts, 'declaredSize'> & { size?: number }

/** Indexes within indexes; deeper ones have no size. */
const maxDepth = 3

/**
 * The images that repositories hold. A link is not enough: what its rule's upstream did not vouch for counts for
 * nothing, and neither does what is not in the store, which is looked at for each image that is told of.
 */
export class Images {
  readonly #options: ImagesOptions
  readonly #manifests: ManifestReader

  constructor(options: ImagesOptions) {
    this.#options = options
    this.#manifests = new ManifestReader(options.blobs)
  }

  /** In the order of their digests, from one on. Costs what is taken of it, however many there are. */
  async *list(repository: string, from?: Digest): AsyncIterable<Image> {
    const first = from && (await this.get(repository, from))
    if (first) yield first
    const prefix = linkKey(repository, '' as Digest)
    const range = { prefix, ...(from && { after: linkKey(repository, from) }) }
    for await (const [key, link] of this.#options.metadata.links.entries(range)) {
      const digest = key.slice(prefix.length)
      const image = isDigest(digest) ? await this.#imageOf(repository, digest, link) : undefined
      if (image) yield image
    }
  }

  async get(repository: string, digest: Digest): Promise<Image | undefined> {
    return this.#imageOf(repository, digest, await this.#options.metadata.links.get(linkKey(repository, digest)))
  }

  /** Where a tag points. */
  async tagged(repository: string, tag: string): Promise<Image | undefined> {
    const record = await this.#options.metadata.tags.get(tagKey(repository, tag))
    return record && this.#counts(repository, record) ? this.get(repository, record.digest) : undefined
  }

  /** In their order. */
  async tagsOf(repository: string, digest: Digest): Promise<string[]> {
    const { metadata } = this.#options
    const tags: string[] = []
    for (const tag of await metadata.tagsOf(repository, digest)) {
      const record = await metadata.tags.get(tagKey(repository, tag))
      if (record?.digest === digest && this.#counts(repository, record)) tags.push(tag)
    }
    return tags
  }

  /** What an image is about: a signature is about what is signed. */
  async subjectOf({ digest }: Image): Promise<Digest | undefined> {
    return (await this.#manifests.facts(digest)).subject
  }

  /** What its manifest says. */
  async facts(repository: string, image: Image): Promise<ImageFacts> {
    const { declaredSize, ...facts } = await this.#manifests.facts(image.digest)
    const size = declaredSize ?? (await this.#sizeOfLargest(repository, image, maxDepth))
    return { ...facts, ...(size !== undefined && { size }) }
  }

  /** The size in bytes of a blob that the repository holds. */
  async blobSize(repository: string, digest: Digest): Promise<number | undefined> {
    const link = await this.#options.metadata.links.get(linkKey(repository, digest))
    return link && (await this.#isHeld(repository, digest, link)) ? link.size : undefined
  }

  async #sizeOfLargest(repository: string, { digest, mediaType }: Image, depth: number): Promise<number | undefined> {
    if (!isIndex(mediaType) || depth === 0) return undefined
    const link = await this.#options.metadata.links.get(linkKey(repository, digest))
    let largest: number | undefined
    for (const child of link?.needs ?? []) {
      const image = await this.get(repository, child)
      if (!image) continue
      const { declaredSize } = await this.#manifests.facts(child)
      const size = declaredSize ?? (await this.#sizeOfLargest(repository, image, depth - 1))
      if (size !== undefined) largest = Math.max(largest ?? 0, size)
    }
    return largest
  }

  async #imageOf(repository: string, digest: Digest, link: Link | undefined): Promise<Image | undefined> {
    if (!link?.mediaType || !(await this.#isHeld(repository, digest, link))) return undefined
    return { digest, mediaType: link.mediaType, heldSince: link.linkedAt }
  }

  async #isHeld(repository: string, digest: Digest, link: Link): Promise<boolean> {
    if (!this.#counts(repository, link)) return false
    return (await this.#options.blobs.stat(digest))?.size === link.size
  }

  #counts(repository: string, { upstream }: { upstream: string }): boolean {
    const rule = this.#options.ruleOf(repository)
    return !rule || rule.upstream === upstream
  }
}
