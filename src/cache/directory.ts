import type { Reference } from '../oci/reference.ts'
import type { Outlook, Registry } from '../oci/registry.ts'
import type { Rule } from '../rules/rule.ts'
import { Lingering, type OwnedRegistry } from './lingering.ts'
import { type Cache, Origin } from './origin.ts'
import { PullThrough } from './pull-through.ts'

export type DirectoryOptions = {
  cache: Cache
  /** Never ask any upstream. */
  offline: boolean
  /** It is disposed when no rule leads to it any more, and nobody uses it. */
  openUpstream: (rule: Rule) => OwnedRegistry
}

type Entry = { registry: PullThrough; cached: Registry; upstream: Lingering | undefined }

/** One registry per rule, made when it is first asked for and kept until its rule changes. */
export class Directory {
  readonly #options: DirectoryOptions
  readonly #entries = new Map<Rule, Entry>()
  readonly #leaving = new Set<Lingering>()
  readonly #unruled: PullThrough

  constructor(options: DirectoryOptions) {
    this.#options = options
    this.#unruled = new PullThrough(options.cache, new Origin(undefined, undefined))
  }

  /** The registry behind a rule; without one, that of cached repositories that no rule leads to any more. */
  registryOf(rule: Rule | undefined): Registry {
    return rule ? this.#entryOf(rule).registry : this.#unruled
  }

  /** What would become of a question about a manifest that is asked there now. */
  outlook(rule: Rule | undefined, reference: Reference): Promise<Outlook> {
    return (rule ? this.#entryOf(rule).registry : this.#unruled).outlook(reference)
  }

  /** What is cached of it, for those who may not have anything fetched: no upstream is asked. */
  cachedOf(rule: Rule | undefined): Registry {
    return rule ? this.#entryOf(rule).cached : this.#unruled
  }

  /** Lets go of the upstreams whose rule is not among `rules`. What is asked of them by now is answered and sent. */
  retain(rules: Iterable<Rule>): void {
    const kept = new Set(rules)
    for (const [rule, { upstream }] of [...this.#entries]) {
      if (kept.has(rule)) continue
      this.#entries.delete(rule)
      if (!upstream) continue
      this.#leaving.add(upstream)
      void upstream.letGo().finally(() => this.#leaving.delete(upstream))
    }
  }

  #entryOf(rule: Rule): Entry {
    const known = this.#entries.get(rule)
    if (known) return known
    const { cache, offline, openUpstream } = this.#options
    const upstream = offline ? undefined : new Lingering(openUpstream(rule))
    const cached = new PullThrough(cache, new Origin(rule, undefined))
    const registry = upstream ? new PullThrough(cache, new Origin(rule, upstream)) : cached
    const entry = { registry, cached, upstream }
    this.#entries.set(rule, entry)
    return entry
  }

  /** Ends all transfers and closes all upstreams. */
  async close(): Promise<void> {
    await this.#options.cache.fills.close()
    this.retain([])
    await Promise.all([...this.#leaving].map((upstream) => upstream[Symbol.asyncDispose]()))
  }
}
