import type { BlobStore } from '../blobs/blob-store.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import type { Registry } from '../oci/registry.ts'
import { type Rule, upstreamNameOf } from '../rules/rule.ts'
import type { Clock } from './clock.ts'
import type { Fills } from './fills.ts'
import type { ManifestMemory } from './manifest-memory.ts'
import type { Uses } from './uses.ts'

/** What is decided about repositories, as far as it matters to a cache of them. */
export type RepositoryDecisions = {
  /**
   * Lets a repository come to be, if it is not there yet, at this instant in milliseconds since the epoch. Rejects where
   * what is decided about it cannot be kept: it is not there then.
   */
  begin(repository: string, createdAt: number): Promise<void>
  /** Whether a tag stays where it points, whatever upstream says. */
  isImmutable(repository: string, tag: string): Promise<boolean>
}

/** What all rules share. */
export type Cache = {
  blobs: BlobStore
  metadata: Metadata
  decisions: RepositoryDecisions
  fills: Fills
  memory: ManifestMemory
  uses: Uses
  clock: Clock
  /** How long upstream may take to confirm something that can be served as it is. */
  revalidateMs: number
  /** How long after a failed check the next one waits, where something can be served meanwhile. */
  retryPauseMs: number
}

/** Where one rule leads, as the cache sees it. */
export class Origin {
  readonly rule: Rule | undefined
  /** Absent where upstream must not or cannot be asked. */
  readonly registry: Registry | undefined

  constructor(rule: Rule | undefined, registry: Registry | undefined) {
    this.rule = rule
    this.registry = registry
  }

  /** The upstream's origin, as it stands in links and tags. */
  get upstream(): string {
    return this.rule?.upstream ?? ''
  }

  /** Upstream's name of a repository of ours. */
  nameOf(repository: string): string {
    return this.rule ? upstreamNameOf(this.rule, repository) : repository
  }
}

/** A key of one repository's content in the bounded maps of this process. */
export const contentKey = (repository: string, reference: Digest | string): string => `${repository} ${reference}`
