import type { Digest } from '../oci/digest.ts'
import type { RangeSpec } from '../oci/range.ts'
import type { Reference } from '../oci/reference.ts'
import type {
  BlobRead,
  Descriptor,
  Manifest,
  Outcome,
  Outlook,
  Page,
  Pull,
  ReferrerList,
  Registry,
  Resolved,
  TagPage,
} from '../oci/registry.ts'
import { CachedBlobs } from './blobs.ts'
import { Links } from './links.ts'
import { CachedLists } from './lists.ts'
import { CachedManifests } from './manifests.ts'
import { Negatives } from './negatives.ts'
import type { Cache, Origin } from './origin.ts'
import { Recovery } from './recovery.ts'
import type { Shared } from './shared.ts'
import { Stored } from './stored.ts'
import { CachedTags } from './tags.ts'

/**
 * A registry made of an upstream registry, a blob store and metadata: what it is asked for it fetches once, verifies,
 * keeps, and serves from then on. Repositories have the names by which clients of ours know them. Without an upstream
 * it serves what it holds.
 */
export class PullThrough implements Registry {
  readonly #manifests: CachedManifests
  readonly #tags: CachedTags
  readonly #blobs: CachedBlobs
  readonly #lists: CachedLists

  constructor(cache: Cache, origin: Origin) {
    const links = new Links(cache, origin.rule?.upstream)
    const negatives = new Negatives(origin.rule?.negativeTtlMs ?? 0)
    const stored = new Stored(cache.blobs, origin.registry !== undefined)
    const recovery = new Recovery(cache, origin, stored, links)
    const shared: Shared = { links, stored, recovery, negatives }
    this.#manifests = new CachedManifests(cache, origin, shared)
    this.#tags = new CachedTags(cache, origin, this.#manifests, negatives)
    this.#blobs = new CachedBlobs(cache, origin, shared)
    this.#lists = new CachedLists(cache, origin, this.#tags, shared)
  }

  async resolve(reference: Reference, pull: Pull = {}): Promise<Resolved> {
    const { repository } = reference
    return 'tag' in reference
      ? this.#tags.resolve(repository, reference.tag, pull)
      : this.#manifests.resolve(repository, reference.digest, pull)
  }

  async manifest(reference: Reference, pull: Pull = {}): Promise<Manifest> {
    const { repository } = reference
    if ('tag' in reference) return this.#tags.manifest(repository, reference.tag, pull)
    const manifest = await this.#manifests.get(repository, reference.digest, pull)
    if (manifest.outcome?.cache !== 'hit') await this.#tags.settle(repository, reference.digest)
    return manifest
  }

  /** What would become of a question about a manifest that is asked now. */
  outlook(reference: Reference): Promise<Outlook> {
    const { repository } = reference
    return 'tag' in reference
      ? this.#tags.outlook(repository, reference.tag)
      : this.#manifests.outlook(repository, reference.digest)
  }

  stat(repository: string, digest: Digest, pull: Pull = {}): Promise<Descriptor & { outcome: Outcome }> {
    return this.#blobs.stat(repository, digest, pull)
  }

  blob(repository: string, digest: Digest, pull: Pull & { range?: RangeSpec | undefined } = {}): Promise<BlobRead> {
    return this.#blobs.open(repository, digest, pull)
  }

  tags(repository: string, page: Page = {}, pull: Pull = {}): Promise<TagPage> {
    return this.#lists.tags(repository, page, pull)
  }

  referrers(repository: string, subject: Digest, pull: Pull = {}): Promise<ReferrerList> {
    return this.#lists.referrers(repository, subject, pull)
  }
}
