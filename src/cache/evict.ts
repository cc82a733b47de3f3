import type { Holds } from '../async/holds.ts'
import { SingleFlight } from '../async/single-flight.ts'
import type { BlobInfo, BlobStore } from '../blobs/blob-store.ts'
import { linkKey, type Metadata, tagKey } from '../metadata/metadata.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import type { Rule } from '../rules/rule.ts'
import { publish } from '../telemetry/events.ts'
import type { Clock } from './clock.ts'
import { type EvictionPlan, type Goal, type Image, type LinkEntry, planEviction } from './eviction-plan.ts'
import type { ManifestMemory } from './manifest-memory.ts'
import { pins } from './pins.ts'
import type { Uses } from './uses.ts'

export type EvictorOptions = {
  blobs: BlobStore
  metadata: Metadata
  memory: ManifestMemory
  uses: Uses
  /** What nobody may take away for now. */
  holds: Holds<Digest>
  clock: Clock
  /** The rule that a repository of ours belongs to now. */
  ruleOf: (repository: string) => Rule | undefined
}

/** Makes room in the store by whole images. What it deletes is fetched again when somebody asks for it. */
export class Evictor {
  readonly #options: EvictorOptions
  readonly #runs = new SingleFlight<EvictionPlan>()

  constructor(options: EvictorOptions) {
    this.#options = options
  }

  /** Works towards the goal as far as it can, and resolves to what went. One run at a time; callers meanwhile share it. */
  run(goal: Goal): Promise<EvictionPlan> {
    return this.#runs.do('', () => this.#run(goal)).result
  }

  async #run(goal: Goal): Promise<EvictionPlan> {
    const startedAt = this.#options.clock()
    const tags = await this.#tagsByManifest()
    const blobs = await this.#blobs()
    const links = await this.#links()
    const plan = planEviction(
      {
        blobs,
        links,
        pinned: (repository, manifest) => {
          const rule = this.#options.ruleOf(repository)
          return rule !== undefined && pins(rule, repository, tags.get(linkKey(repository, manifest)) ?? [])
        },
        held: (digest) => this.#options.holds.has(digest),
        reserveOf: (repository) => {
          const rule = this.#options.ruleOf(repository)
          return { rule: rule?.prefix ?? '', bytes: rule?.reserve ?? 0 }
        },
      },
      goal,
    )
    // Facts first: nothing may be announced whose bytes are about to go.
    for (const image of plan.images) await this.#forget(image, tags)
    await this.#unlink(plan, links)
    for (const digest of plan.blobs) {
      if (this.#isWanted(digest, startedAt)) continue
      this.#options.memory.delete(digest)
      await this.#options.blobs.delete(digest)
    }
    publish('cistern:eviction', { images: plan.images.length, blobs: plan.blobs.length, bytes: plan.bytes })
    return plan
  }

  /** Whether somebody came for it meanwhile. */
  #isWanted(digest: Digest, since: number): boolean {
    return (this.#options.uses.latest(digest) ?? 0) >= since || this.#options.holds.has(digest)
  }

  async #forget({ repository, manifest, closure }: Image, tags: ReadonlyMap<string, string[]>): Promise<void> {
    const { metadata } = this.#options
    for (const digest of closure) {
      const key = linkKey(repository, digest)
      for (const tag of tags.get(key) ?? []) await metadata.tags.delete(tagKey(repository, tag))
      await metadata.referrers.delete(key)
      await metadata.pulls.delete(key)
    }
    await metadata.links.delete(linkKey(repository, manifest))
    const kept = new Set<Digest>()
    for await (const [, link] of metadata.links.entries({ prefix: linkKey(repository, '' as Digest) })) {
      for (const digest of link.needs ?? []) kept.add(digest)
    }
    for (const digest of closure) if (!kept.has(digest)) await metadata.links.delete(linkKey(repository, digest))
  }

  /** Removes what else points to blobs that go: they may be held without the image that they belong to. */
  async #unlink({ blobs }: EvictionPlan, links: readonly LinkEntry[]): Promise<void> {
    const gone = new Set(blobs)
    for (const { repository, digest } of links) {
      if (!gone.has(digest)) continue
      await this.#options.metadata.links.delete(linkKey(repository, digest))
      await this.#options.metadata.pulls.delete(linkKey(repository, digest))
    }
  }

  async #blobs(): Promise<Map<Digest, BlobInfo>> {
    const blobs = new Map<Digest, BlobInfo>()
    for await (const info of this.#options.blobs.list()) {
      const usedAt = Math.max(info.usedAt, this.#options.uses.latest(info.digest) ?? 0)
      blobs.set(info.digest, { ...info, usedAt })
    }
    return blobs
  }

  async #links(): Promise<LinkEntry[]> {
    const links: LinkEntry[] = []
    for await (const [key, link] of this.#options.metadata.links.entries()) {
      const at = key.lastIndexOf('@')
      const digest = key.slice(at + 1)
      if (isDigest(digest)) links.push({ repository: key.slice(0, at), digest, link })
    }
    return links
  }

  /** The names of tags, by the link of the manifest that they point to. */
  async #tagsByManifest(): Promise<Map<string, string[]>> {
    const tags = new Map<string, string[]>()
    for await (const [key, { digest }] of this.#options.metadata.tags.entries()) {
      const at = key.lastIndexOf(':')
      const target = linkKey(key.slice(0, at), digest)
      tags.set(target, [...(tags.get(target) ?? []), key.slice(at + 1)])
    }
    return tags
  }
}
