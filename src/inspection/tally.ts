import { subscribe } from '../telemetry/events.ts'

/** What became of questions that clients asked, and what of it upstreams were asked for. */
export type Counts = {
  /** Answers out of the cache, stale ones among them. */
  hits: number
  /** Answers that were fetched for their request. */
  misses: number
  /** Answers that shared another request's fetch. */
  joined: number
  /** Body bytes sent. */
  sentBytes: number
}

export type UpstreamCounts = { requests: number; pulledBytes: number }

/**
 * Counts by the rule of a repository and by the host of an upstream, from its making on. Its owner disposes it.
 * Manifests and blobs count; lists do not.
 */
export class Tally implements Disposable {
  readonly since: number
  readonly #rules = new Map<string, Counts>()
  readonly #upstreams = new Map<string, UpstreamCounts>()
  readonly #subscriptions: (() => void)[]

  /** `ruleOf` names the rule of a repository, by its prefix. */
  constructor(since: number, ruleOf: (repository: string) => string | undefined) {
    this.since = since
    this.#subscriptions = [
      subscribe('cistern:request', ({ route, repository, outcome, bytes }) => {
        if (repository === undefined || !outcome || (route !== 'manifest' && route !== 'blob')) return
        const counts = this.of(ruleOf(repository))
        if (outcome.cache === 'miss') counts.misses++
        else if (outcome.cache === 'collapsed') counts.joined++
        else counts.hits++
        counts.sentBytes += bytes
      }),
      subscribe('cistern:upstream', ({ upstream }) => {
        this.ofUpstream(upstream).requests++
      }),
      subscribe('cistern:pulled', ({ upstream, bytes }) => {
        this.ofUpstream(upstream).pulledBytes += bytes
      }),
    ]
  }

  of(rule = ''): Counts {
    const counts = this.#rules.get(rule) ?? { hits: 0, misses: 0, joined: 0, sentBytes: 0 }
    this.#rules.set(rule, counts)
    return counts
  }

  /** Adds what was counted elsewhere. */
  add(rule: string | undefined, more: Counts): void {
    const counts = this.of(rule)
    counts.hits += more.hits
    counts.misses += more.misses
    counts.joined += more.joined
    counts.sentBytes += more.sentBytes
  }

  /** What was counted since that was last taken, by rule. */
  take(): [rule: string, counts: Counts][] {
    const counts = [...this.#rules]
    this.#rules.clear()
    return counts
  }

  ofUpstream(host: string): UpstreamCounts {
    const counts = this.#upstreams.get(host) ?? { requests: 0, pulledBytes: 0 }
    this.#upstreams.set(host, counts)
    return counts
  }

  [Symbol.dispose](): void {
    for (const unsubscribe of this.#subscriptions) unsubscribe()
  }
}
