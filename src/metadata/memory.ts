import type { Digest } from '../oci/digest.ts'
import {
  type Collection,
  type KeyRange,
  type Link,
  type Metadata,
  type PullRecord,
  type ReferrersRecord,
  type RepositoryRecord,
  type Tag,
  tagKey,
} from './metadata.ts'
import type { RegistrySettings, RepositorySettings, RepositoryTemplate, SettingsStore } from './settings.ts'

/** Facts that last as long as the process: for tests and demonstrations. */
export class MemoryMetadata implements Metadata {
  readonly since: number
  readonly repositories: Collection<RepositoryRecord> = new MemoryCollection()
  readonly links: Collection<Link> = new MemoryCollection()
  readonly tags: Collection<Tag> = new MemoryCollection()
  readonly referrers: Collection<ReferrersRecord> = new MemoryCollection()
  readonly pulls: Collection<PullRecord> = new MemoryCollection()

  constructor(since = 0) {
    this.since = since
  }

  async tagsOf(repository: string, digest: Digest): Promise<string[]> {
    const prefix = tagKey(repository, '')
    const names: string[] = []
    for await (const [key, tag] of this.tags.entries({ prefix })) {
      if (tag.digest === digest) names.push(key.slice(prefix.length))
    }
    return names
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** Settings that last as long as the process. */
export class MemorySettings implements SettingsStore {
  readonly repositories: Collection<RepositorySettings> = new MemoryCollection()
  readonly templates: Collection<RepositoryTemplate> = new MemoryCollection()
  readonly registry: Collection<RegistrySettings> = new MemoryCollection()

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** Keeps values as JSON, so that nobody holds what somebody else may change. */
class MemoryCollection<T> implements Collection<T> {
  readonly #values = new Map<string, string>()

  async get(key: string): Promise<T | undefined> {
    const json = this.#values.get(key)
    return json === undefined ? undefined : JSON.parse(json)
  }

  async set(key: string, value: T): Promise<void> {
    this.#values.set(key, JSON.stringify(value))
  }

  async create(key: string, value: T): Promise<boolean> {
    if (this.#values.has(key)) return false
    this.#values.set(key, JSON.stringify(value))
    return true
  }

  async delete(key: string): Promise<boolean> {
    return this.#values.delete(key)
  }

  async *entries({ prefix = '', after = '', limit = Infinity }: KeyRange = {}): AsyncIterable<[string, T]> {
    const keys = [...this.#values.keys()].filter((key) => key.startsWith(prefix) && key > after).sort()
    let given = 0
    for (const key of keys) {
      if (given >= limit) return
      const value = await this.get(key)
      if (value === undefined) continue
      given++
      yield [key, value]
    }
  }
}
