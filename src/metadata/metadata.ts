import type { Digest } from '../oci/digest.ts'
import type { Referrer } from '../oci/registry.ts'

/** Keys after `after` that start with `prefix`, at most `limit` of them. */
export type KeyRange = { prefix?: string; after?: string; limit?: number }

/** Values by key, in the byte order of keys. Values are plain JSON; each write is atomic and outlives the process. */
export interface Collection<T> {
  get(key: string): Promise<T | undefined>
  set(key: string, value: T): Promise<void>
  /** Sets only where nothing is; resolves to whether it did. Atomic between processes. */
  create(key: string, value: T): Promise<boolean>
  /** Resolves to whether it was there. */
  delete(key: string): Promise<boolean>
  /** A snapshot of no promised instant: entries written meanwhile may or may not appear. */
  entries(range?: KeyRange): AsyncIterable<[key: string, value: T]>
}

/** A repository, which may be empty. Its key is its name as clients of ours spell it. */
export type RepositoryRecord = { createdAt: number }

/** A digest that a repository is known to hold: upstream gave it to us under that repository's name. */
export type Link = {
  /** In bytes; what is on disk must have it. */
  size: number
  /** Present for manifests, as upstream stated it. */
  mediaType?: string
  /** Present for manifests: what the image is not whole without. */
  needs?: Digest[]
  /** The upstream that vouched for it, as an origin. */
  upstream: string
  linkedAt: number
}

/** Where a tag pointed when its upstream was last asked. Its manifest is stored. */
export type Tag = {
  digest: Digest
  upstream: string
  /** When upstream last confirmed it, in milliseconds since the epoch. */
  checkedAt: number
  /** When it came to point to this digest. */
  movedAt: number
}

export type ReferrersRecord = { referrers: Referrer[]; upstream: string; checkedAt: number }

/** When an image was last pulled from a repository, in milliseconds since the epoch, within the hour. */
export type PullRecord = { pulledAt: number }

/** Facts about repositories. A fact that is lost makes Cistern slower, never wrong. Its owner disposes it. */
export interface Metadata extends AsyncDisposable {
  /** Facts from before this instant may be missing, in milliseconds since the epoch: they were lost, or never known. */
  readonly since: number
  /** By repository. */
  readonly repositories: Collection<RepositoryRecord>
  /** By `linkKey`. */
  readonly links: Collection<Link>
  /** By `tagKey`. */
  readonly tags: Collection<Tag>
  /** By `linkKey` of the subject. */
  readonly referrers: Collection<ReferrersRecord>
  /** By `linkKey` of the manifest. */
  readonly pulls: Collection<PullRecord>
  /** The names of the tags of a repository that point to `digest`, in their order; reads no others. */
  tagsOf(repository: string, digest: Digest): Promise<string[]>
}

export const linkKey = (repository: string, digest: Digest): string => `${repository}@${digest}`

export const tagKey = (repository: string, tag: string): string => `${repository}:${tag}`
