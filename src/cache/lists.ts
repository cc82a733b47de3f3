import { LRUCache } from 'lru-cache'
import { SingleFlight } from '../async/single-flight.ts'
import { linkKey, type ReferrersRecord } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import { isKind, manifestUnknown, nameUnknown } from '../oci/errors.ts'
import type { Page, Pull, ReferrerList, TagPage } from '../oci/registry.ts'
import { tagTtlMs } from '../rules/rule.ts'
import { freshForMs } from './freshness.ts'
import type { Links } from './links.ts'
import type { Negatives } from './negatives.ts'
import { type Cache, contentKey, type Origin } from './origin.ts'
import type { Shared } from './shared.ts'
import type { CachedTags } from './tags.ts'

/** Lists go stale when anybody pushes anything; however long tags last, lists are asked for again after this. */
const maxListTtlMs = 60_000
/** Of the lists of one rule that are held in memory, about. */
const maxBytesHeld = 16 * 1024 * 1024

/** The lists of one origin's repositories: upstream's while it answers, ours where it does not. */
export class CachedLists {
  readonly #cache: Cache
  readonly #origin: Origin
  readonly #tags: CachedTags
  readonly #links: Links
  readonly #negatives: Negatives
  readonly #tagLists = bounded<{ names: string[]; checkedAt: number }>()
  /** Referrers of what is not held here: anybody can ask for those of any digest. */
  readonly #passingReferrers = bounded<ReferrersRecord>()
  readonly #tagFlights = new SingleFlight<string[]>()
  readonly #referrerFlights = new SingleFlight<ReferrerList>()

  constructor(cache: Cache, origin: Origin, tags: CachedTags, { links, negatives }: Shared) {
    this.#cache = cache
    this.#origin = origin
    this.#tags = tags
    this.#links = links
    this.#negatives = negatives
  }

  async tags(repository: string, page: Page, pull: Pull): Promise<TagPage> {
    const cached = await this.#tags.names(repository)
    const listed = await this.#upstreamTags(repository, cached, pull)
    const all = [...new Set([...cached, ...listed.names])].sort()
    const after = page.last === undefined ? all : all.filter((name) => name > (page.last as string))
    const tags = page.n === undefined ? after : after.slice(0, page.n)
    return { tags, more: tags.length < after.length, outcome: listed.outcome }
  }

  async referrers(repository: string, subject: Digest, pull: Pull): Promise<ReferrerList> {
    const key = linkKey(repository, subject)
    const record = this.#passingReferrers.get(key) ?? (await this.#cache.metadata.referrers.get(key))
    const stored = record?.upstream === this.#origin.upstream || !this.#origin.rule ? record : undefined
    const { registry } = this.#origin
    const ttlMs = stored ? freshForMs(stored.checkedAt, this.#ttlMs(), this.#cache.clock()) : -1
    if (stored && (ttlMs > 0 || !registry)) return { referrers: stored.referrers, outcome: { cache: 'hit', ttlMs } }
    if (!registry) throw manifestUnknown(repository, subject)
    this.#negatives.check(`${key} referrers`)
    if (!stored && !this.#referrerFlights.has(key)) pull.admit?.()
    try {
      const ask = () => this.#askReferrers(repository, subject, stored !== undefined, pull.requestId)
      return await this.#referrerFlights.do(key, ask, pull.signal).result
    } catch (error) {
      this.#negatives.note(`${key} referrers`, error)
      if (!stored || !isKind(error, 'unavailable', 'throttled')) throw error
      return { referrers: stored.referrers, outcome: { cache: 'stale', reason: error.kind, ttlMs } }
    }
  }

  async #askReferrers(
    repository: string,
    subject: Digest,
    impatient: boolean,
    requestId: string | undefined,
  ): Promise<ReferrerList> {
    const { registry, upstream } = this.#origin
    if (!registry) throw manifestUnknown(repository, subject)
    const checkedAt = this.#cache.clock()
    const check = impatient && { check: true, signal: AbortSignal.timeout(this.#cache.revalidateMs) }
    const pull = { requestId, ...check }
    const { referrers } = await registry.referrers(this.#origin.nameOf(repository), subject, pull)
    await this.#keepReferrers(repository, subject, { referrers, upstream, checkedAt })
    return { referrers, outcome: { cache: 'miss', ttlMs: this.#ttlMs() } }
  }

  async #keepReferrers(repository: string, subject: Digest, record: ReferrersRecord): Promise<void> {
    const key = linkKey(repository, subject)
    if (await this.#links.get(repository, subject)) {
      this.#passingReferrers.delete(key)
      await this.#cache.metadata.referrers.set(key, record)
    } else {
      this.#passingReferrers.set(key, record)
    }
  }

  async #upstreamTags(
    repository: string,
    cached: string[],
    pull: Pull,
  ): Promise<{ names: string[]; outcome: TagPage['outcome'] }> {
    const { registry } = this.#origin
    if (!registry) {
      if (cached.length === 0) throw nameUnknown(repository)
      return { names: [], outcome: { cache: 'hit' } }
    }
    const held = this.#tagLists.get(repository)
    const ttlMs = held ? freshForMs(held.checkedAt, this.#ttlMs(), this.#cache.clock()) : -1
    if (held && ttlMs > 0) return { names: held.names, outcome: { cache: 'hit', ttlMs } }
    const key = contentKey(repository, 'tags/list')
    this.#negatives.check(key)
    if (cached.length === 0 && !this.#tagFlights.has(key)) pull.admit?.()
    try {
      const check = cached.length > 0 && { check: true, signal: AbortSignal.timeout(this.#cache.revalidateMs) }
      const ask = async () => {
        const checkedAt = this.#cache.clock()
        const name = this.#origin.nameOf(repository)
        const { tags: names } = await registry.tags(name, {}, { requestId: pull.requestId, ...check })
        this.#tagLists.set(repository, { names, checkedAt })
        return names
      }
      const names = await this.#tagFlights.do(key, ask, pull.signal).result
      return { names, outcome: { cache: 'miss', ttlMs: this.#ttlMs() } }
    } catch (error) {
      this.#negatives.note(key, error)
      if (cached.length === 0 || !isKind(error, 'unavailable', 'throttled')) throw error
      return { names: [], outcome: { cache: 'stale', reason: error.kind, ttlMs } }
    }
  }

  #ttlMs(): number {
    return this.#origin.rule ? Math.min(maxListTtlMs, tagTtlMs(this.#origin.rule, '*')) : 0
  }
}

const bounded = <T extends object>() =>
  new LRUCache<string, T>({ maxSize: maxBytesHeld, sizeCalculation: (list) => JSON.stringify(list).length })
