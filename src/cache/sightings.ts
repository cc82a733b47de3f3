import { LRUCache } from 'lru-cache'
import type { Digest } from '../oci/digest.ts'
import type { Descriptor } from '../oci/registry.ts'

/** Where a tag points, and when upstream last said so, in milliseconds since the epoch. */
export type Target = { descriptor: Descriptor; checkedAt: number }

const maxRepositories = 10_000
const maxTags = 1_000

/** Where upstream said that tags point whose manifests are not stored yet. In memory, and bounded in number. */
export class Sightings {
  readonly #repositories = new LRUCache<string, LRUCache<string, Target>>({ max: maxRepositories })

  get(repository: string, tag: string): Target | undefined {
    return this.#repositories.get(repository)?.get(tag)
  }

  set(repository: string, tag: string, target: Target): void {
    const tags = this.#repositories.get(repository) ?? new LRUCache<string, Target>({ max: maxTags })
    tags.set(tag, target)
    this.#repositories.set(repository, tags)
  }

  delete(repository: string, tag: string): void {
    this.#repositories.get(repository)?.delete(tag)
  }

  /** The tags of a repository that were seen to point to `digest`, and when. */
  of(repository: string, digest: Digest): [tag: string, checkedAt: number][] {
    return [...(this.#repositories.get(repository) ?? [])]
      .filter(([, { descriptor }]) => descriptor.digest === digest)
      .map(([tag, { checkedAt }]) => [tag, checkedAt])
  }
}
