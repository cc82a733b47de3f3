import { LRUCache } from 'lru-cache'
import { SingleFlight } from '../async/single-flight.ts'
import { type Tag, tagKey } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import { isKind, manifestUnknown, RegistryError } from '../oci/errors.ts'
import type { Descriptor, Manifest, Outcome, Outlook, Pull, Resolved } from '../oci/registry.ts'
import { tagTtlMs } from '../rules/rule.ts'
import { publish } from '../telemetry/events.ts'
import { freshForMs, Pauses } from './freshness.ts'
import type { CachedManifests } from './manifests.ts'
import type { Negatives } from './negatives.ts'
import { type Cache, contentKey, type Origin } from './origin.ts'
import { Sightings, type Target } from './sightings.ts'

type Located = { descriptor: Descriptor; manifest?: Manifest | undefined; outcome: Outcome }

/** What is to be done about a question, decided before anybody is asked. */
type Plan = {
  /** The tag as it stands in the metadata, where its manifest is in the store. */
  stored: Target | undefined
  /** Where upstream last said that it points; the manifest may not be here yet. */
  known: Target | undefined
  asks: Outlook['asks']
  /** `known` is served, and that is what is said of it. */
  served?: Outcome
  /** Why upstream is not asked, and until when. */
  held?: { error: RegistryError; until?: number }
}

type Question = { repository: string; tag: string; wanted: 'descriptor' | 'manifest'; pull: Pull }

const maxRefusals = 20_000

/**
 * The tags of one origin's repositories. A tag is served without a question while it is fresh; then upstream is asked
 * once, however many ask us. It moves only after the manifest that it moves to is stored: until then the new target
 * is a sighting, kept in memory, and the old one stays what the tag falls back to.
 */
export class CachedTags {
  readonly #cache: Cache
  readonly #origin: Origin
  readonly #manifests: CachedManifests
  readonly #negatives: Negatives
  readonly #pauses: Pauses
  readonly #checks = new SingleFlight<Located>()
  readonly #sightings = new Sightings()
  /** Cached tags for which upstream's last answer was no. */
  readonly #refusals = new LRUCache<string, true>({ max: maxRefusals })

  constructor(cache: Cache, origin: Origin, manifests: CachedManifests, negatives: Negatives) {
    this.#cache = cache
    this.#origin = origin
    this.#manifests = manifests
    this.#negatives = negatives
    this.#pauses = new Pauses(cache.retryPauseMs, cache.clock)
  }

  async resolve(repository: string, tag: string, pull: Pull): Promise<Resolved> {
    const { descriptor, outcome } = await this.#locate({ repository, tag, wanted: 'descriptor', pull })
    return { descriptor, outcome }
  }

  async manifest(repository: string, tag: string, pull: Pull): Promise<Manifest> {
    const { manifest, outcome } = await this.#locate({ repository, tag, wanted: 'manifest', pull })
    if (!manifest) throw manifestUnknown(repository, tag)
    return { ...manifest, outcome }
  }

  /** The tags that can be served without upstream, in lexical order. */
  async names(repository: string): Promise<string[]> {
    const prefix = tagKey(repository, '')
    const names: string[] = []
    for await (const [key] of this.#cache.metadata.tags.entries({ prefix })) names.push(key.slice(prefix.length))
    return names
  }

  /** A manifest was fetched: the tags sighted pointing to it move, if it could be stored. */
  async settle(repository: string, digest: Digest): Promise<void> {
    if (!(await this.#manifests.describe(repository, digest))) return
    for (const [tag, checkedAt] of this.#sightings.of(repository, digest)) {
      await this.#move(repository, tag, digest, checkedAt)
    }
  }

  /** What a question about a tag would come to now, without asking it. It counts as no use. */
  async outlook(repository: string, tag: string): Promise<Outlook> {
    const { stored, known, served, asks, held } = await this.#plan(repository, tag)
    const target = served ? known : held && !this.#mayServeStale(held.error) ? undefined : stored
    return {
      asks,
      ...(target && { digest: target.descriptor.digest }),
      ...(known && { checkedAt: known.checkedAt }),
      ...(held && { error: held.error }),
      ...(held?.until !== undefined && { againAt: held.until }),
    }
  }

  async #locate(question: Question): Promise<Located> {
    const { repository, tag, wanted, pull } = question
    const { stored, known, served, asks, held } = await this.#plan(repository, tag, pull.refresh)
    if (stored) this.#cache.uses.note(stored.descriptor.digest)
    try {
      if (held) throw held.error
      if (stored && asks === 'meanwhile') this.#refreshMeanwhile(question, stored)
      const located =
        known && served ? { descriptor: known.descriptor, outcome: served } : await this.#check(question, stored)
      if (wanted === 'descriptor' || located.manifest) return located
      return await this.#withManifest(located, repository, tag, pull)
    } catch (error) {
      if (!stored || pull.refresh || !this.#mayServeStale(error)) throw error
      const manifest = await this.#manifests.held(repository, stored.descriptor.digest)
      if (wanted === 'manifest' && !manifest) throw error
      const ttlMs = Math.min(-1, this.#freshForMs(tag, stored))
      return { descriptor: stored.descriptor, manifest, outcome: { cache: 'stale', reason: error.kind, ttlMs } }
    }
  }

  /**
   * Decides what is to be done. A tag that is stale by no more than its rule lets pass is served while upstream is asked;
   * not where upstream said no the last time: nobody gets that tag before it says otherwise.
   */
  async #plan(repository: string, tag: string, refresh = false): Promise<Plan> {
    const { registry, rule } = this.#origin
    const stored = await this.#stored(repository, tag)
    const immutable = stored !== undefined && (await this.#cache.decisions.isImmutable(repository, tag))
    const sighted = immutable ? undefined : this.#sightings.get(repository, tag)
    const known = sighted ?? stored
    const asksNobody = { stored, known, asks: 'nobody' } as const
    if (!registry && !known) return { ...asksNobody, held: { error: manifestUnknown(repository, tag) } }
    if (!registry || immutable) return { ...asksNobody, served: { cache: 'hit' } }
    if (refresh) return { stored, known, asks: 'first' }
    const ttlMs = known ? this.#freshForMs(tag, known) : 0
    if (known && ttlMs > 0) return { ...asksNobody, served: { cache: 'hit', ttlMs } }
    const key = contentKey(repository, tag)
    const pause = stored && this.#pauses.peek(key)
    if (pause) return { ...asksNobody, held: pause }
    const negative = this.#negatives.peek(key)
    const graceMs = rule?.staleWhileRevalidateMs ?? 0
    if (stored && !sighted && ttlMs + graceMs > 0 && !this.#refusals.has(key)) {
      const served: Outcome = { cache: 'stale', reason: 'revalidating', ttlMs: Math.min(-1, ttlMs) }
      return { stored, known, served, asks: negative ? 'nobody' : 'meanwhile' }
    }
    if (!negative) return { stored, known, asks: 'first' }
    return { ...asksNobody, held: { error: negative.error, until: this.#cache.clock() + negative.forMs } }
  }

  /** The tag as it stands in the metadata, where its manifest is in the store. */
  async #stored(repository: string, tag: string): Promise<Target | undefined> {
    const record = await this.#record(repository, tag)
    const descriptor = record && (await this.#manifests.describe(repository, record.digest))
    return descriptor && { descriptor, checkedAt: record.checkedAt }
  }

  #refreshMeanwhile(question: Question, stored: Target): void {
    const { repository, tag, pull } = question
    this.#refresh({ ...question, pull: { requestId: pull.requestId } }, stored).catch((error: unknown) => {
      if (!this.#mayServeStale(error)) this.#tell(repository, tag, error, pull.requestId)
    })
  }

  /** Checks a tag, and where it moved fetches what it moved to for whoever asked for more than where it points. */
  async #refresh(question: Question, stored: Target): Promise<void> {
    const { repository, tag, wanted, pull } = question
    const located = await this.#check(question, stored)
    if (wanted === 'manifest') await this.#withManifest(located, repository, tag, pull)
  }

  async #check(question: Question, stored: Target | undefined): Promise<Located> {
    const { repository, tag, pull } = question
    const key = contentKey(repository, tag)
    if (pull.refresh) await this.#checks.settled(key) // what began before may have been answered before
    if (!stored && !this.#checks.has(key)) pull.admit?.()
    const { joined, result } = this.#checks.do(key, () => this.#ask(key, question, stored), pull.signal)
    const located = await result
    const collapsed = joined && located.outcome.cache === 'miss'
    return collapsed ? { ...located, outcome: { ...located.outcome, cache: 'collapsed' } } : located
  }

  /** Where nothing is stored and the manifest is wanted, one GET says all; else a HEAD says whether the tag moved. */
  async #ask(key: string, { repository, tag, wanted, pull }: Question, stored: Target | undefined): Promise<Located> {
    const { requestId, refresh } = pull
    const checkedAt = this.#cache.clock()
    try {
      const registry = this.#origin.registry
      if (!registry) throw manifestUnknown(repository, tag)
      let found: Resolved & { manifest?: Manifest }
      if (!stored && wanted === 'manifest') {
        const manifest = await this.#manifests.fetch({ repository, tag }, { requestId, refresh })
        found = { descriptor: manifest.descriptor, manifest }
      } else {
        const check = stored && { check: true, signal: AbortSignal.timeout(this.#cache.revalidateMs) }
        found = await registry.resolve({ repository: this.#origin.nameOf(repository), tag }, { requestId, ...check })
        if (found.bytes) await this.#manifests.keep(repository, { descriptor: found.descriptor, bytes: found.bytes })
      }
      await this.#see(repository, tag, found.descriptor, checkedAt)
      const same = stored?.descriptor.digest === found.descriptor.digest
      return { ...found, outcome: { cache: same ? 'revalidated' : 'miss', ttlMs: this.#ttlMs(tag) } }
    } catch (error) {
      this.#negatives.note(key, error)
      this.#pauses.note(key, error)
      if (stored && this.#mayServeStale(error)) this.#tell(repository, tag, error, requestId)
      else if (stored) this.#refusals.set(key, true)
      throw error
    }
  }

  /** The bytes of what a tag points to; where upstream moved it on meanwhile, of what it points to then. */
  async #withManifest(located: Located, repository: string, tag: string, pull: Pull): Promise<Located> {
    const { digest } = located.descriptor
    const held = await this.#manifests.held(repository, digest)
    if (held) return { ...located, manifest: held }
    const checkedAt = this.#cache.clock()
    const manifest = await this.#manifests.fetch({ repository, digest }, pull).catch((error: unknown) => {
      if (!isKind(error, 'unknown')) throw error
      return this.#manifests.fetch({ repository, tag }, pull)
    })
    if (manifest.descriptor.digest === digest) await this.settle(repository, digest)
    else await this.#see(repository, tag, manifest.descriptor, checkedAt)
    const cache = manifest.outcome?.cache ?? 'miss'
    return { descriptor: manifest.descriptor, manifest, outcome: { ...located.outcome, cache } }
  }

  /** Takes note of where upstream says a tag points. */
  async #see(repository: string, tag: string, descriptor: Descriptor, checkedAt: number): Promise<void> {
    const key = contentKey(repository, tag)
    this.#pauses.end(key)
    this.#negatives.end(key)
    this.#refusals.delete(key)
    if (await this.#manifests.describe(repository, descriptor.digest)) {
      this.#cache.uses.note(descriptor.digest)
      await this.#move(repository, tag, descriptor.digest, checkedAt)
    } else {
      this.#sightings.set(repository, tag, { descriptor, checkedAt })
    }
  }

  /** Points the tag to a manifest that is stored, unless it was made immutable since upstream was asked about it. */
  async #move(repository: string, tag: string, digest: Digest, checkedAt: number): Promise<void> {
    const before = await this.#record(repository, tag)
    if (before && before.digest !== digest && (await this.#stays(repository, tag, before))) {
      this.#sightings.delete(repository, tag)
      return
    }
    const movedAt = before?.digest === digest ? before.movedAt : checkedAt
    await this.#cache.metadata.tags.set(tagKey(repository, tag), {
      digest,
      upstream: this.#origin.upstream,
      checkedAt,
      movedAt,
    })
    this.#sightings.delete(repository, tag)
  }

  /** Whether an immutable tag points to what is still there. */
  async #stays(repository: string, tag: string, { digest }: Tag): Promise<boolean> {
    const held = await this.#manifests.describe(repository, digest)
    return held !== undefined && this.#cache.decisions.isImmutable(repository, tag)
  }

  /** A tag that another upstream vouched for counts for nothing: the rule has been pointed elsewhere since. */
  async #record(repository: string, tag: string): Promise<Tag | undefined> {
    const record = await this.#cache.metadata.tags.get(tagKey(repository, tag))
    return !this.#origin.rule || record?.upstream === this.#origin.upstream ? record : undefined
  }

  #mayServeStale(error: unknown): error is RegistryError {
    const kept = this.#origin.rule?.onUnknownTag === 'keep' && isKind(error, 'unknown')
    return kept || isKind(error, 'unavailable', 'throttled')
  }

  #freshForMs(tag: string, { checkedAt }: Target): number {
    return freshForMs(checkedAt, this.#ttlMs(tag), this.#cache.clock())
  }

  #ttlMs(tag: string): number {
    return this.#origin.rule ? tagTtlMs(this.#origin.rule, tag) : 0
  }

  #tell(repository: string, tag: string, error: unknown, requestId: string | undefined): void {
    const message = 'a tag could not be checked and is served stale'
    const { upstream } = this.#origin
    publish('cistern:fault', {
      where: 'upstream',
      kind: error instanceof RegistryError ? error.kind : 'internal',
      message,
      upstream,
      repository,
      reference: tag,
      requestId,
      error,
    })
  }
}
