import type { Collection } from './metadata.ts'

export type TagMutability = 'MUTABLE' | 'IMMUTABLE' | 'MUTABLE_WITH_EXCLUSION' | 'IMMUTABLE_WITH_EXCLUSION'

/** What somebody decided about a repository. What is absent is as by default. */
export type RepositorySettings = {
  tagMutability?: TagMutability
  /** Patterns over the tags that are the exceptions of `tagMutability`; `*` stands for anything. */
  mutabilityExclusions?: string[]
  /** Kept and told: images are not scanned. */
  scanOnPush?: boolean
  /** Kept and told: blobs are stored as they are. */
  encryption?: { type: 'AES256' | 'KMS' | 'KMS_DSSE'; kmsKey?: string }
  /** In the order of their keys, each of which is there once. */
  tags?: [key: string, value: string][]
  /** A policy document in JSON, as it was given. */
  policy?: string
  /** A lifecycle policy in JSON, as it was given. */
  lifecyclePolicy?: string
  /** When the lifecycle policy was last applied, in milliseconds since the epoch. */
  lifecycleEvaluatedAt?: number
  /** When somebody created the repository, in milliseconds since the epoch; absent where a pull did. */
  createdAt?: number
}

/** What repositories that are created under a prefix start with. Instants are milliseconds since the epoch. */
export type RepositoryTemplate = {
  settings: RepositorySettings
  appliedFor: TemplateUse[]
  description?: string
  /** Kept and told; roles are assumed by nobody here. */
  customRoleArn?: string
  createdAt: number
  updatedAt: number
}

export type TemplateUse = 'PULL_THROUGH_CACHE' | 'REPLICATION' | 'CREATE_ON_PUSH'

export type ScanFrequency = 'SCAN_ON_PUSH' | 'CONTINUOUS_SCAN' | 'MANUAL'

export type RegistrySettings = {
  /** A policy document in JSON, as it was given. */
  policy?: string
  /** Kept and told: images are not scanned. Filters are patterns over repositories; `*` stands for anything. */
  scanning?: { type: 'BASIC' | 'ENHANCED'; rules: { frequency: ScanFrequency; filters: string[] }[] }
}

/**
 * What somebody decided, and no upstream can be asked for again: nothing of it may be lost. Writes are as durable as
 * the disk once they resolve, and throw where the disk refuses them. Its owner disposes it.
 */
export interface SettingsStore extends AsyncDisposable {
  /** By repository. */
  readonly repositories: Collection<RepositorySettings>
  /** By prefix, without a slash at its end. */
  readonly templates: Collection<RepositoryTemplate>
  /** By `registryKey`. */
  readonly registry: Collection<RegistrySettings>
}

/** There is one registry. */
export const registryKey = 'registry'
