import type { Reference } from '../oci/reference.ts'
import type { Outlook, Registry } from '../oci/registry.ts'
import type { Rule } from '../rules/rule.ts'
import { type Cache, Origin } from './origin.ts'
import { PullThrough } from './pull-through.ts'

/** An upstream that is closed when no rule leads to it any more. */
export type OwnedRegistry = Registry & AsyncDisposable

export type DirectoryOptions = {
  cache: Cache
  /** Never ask any upstream. */
  offline: boolean
  openUpstream: (rule: Rule) => OwnedRegistry
}

type Entry = { registry: PullThrough; cached: Registry; upstream: OwnedRegistry | undefined }

/** One registry per rule, made when it is first asked for and kept until its rule changes. */
export class Directory {
  readonly #options: DirectoryOptions
  readonly #entries = new Map<Rule, Entry>()
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

  /** Closes the upstreams whose rule is not among `rules`. Transfers from them break and are resumed elsewhere. */
  async retain(rules: Iterable<Rule>): Promise<void> {
    const kept = new Set(rules)
    for (const [rule, { upstream }] of [...this.#entries]) {
      if (kept.has(rule)) continue
      this.#entries.delete(rule)
      await upstream?.[Symbol.asyncDispose]()
    }
  }

  #entryOf(rule: Rule): Entry {
    const known = this.#entries.get(rule)
    if (known) return known
    const { cache, offline, openUpstream } = this.#options
    const upstream = offline ? undefined : openUpstream(rule)
    const cached = new PullThrough(cache, new Origin(rule, undefined))
    const registry = upstream ? new PullThrough(cache, new Origin(rule, upstream)) : cached
    const entry = { registry, cached, upstream }
    this.#entries.set(rule, entry)
    return entry
  }

  /** Ends all transfers and closes all upstreams. */
  async close(): Promise<void> {
    await this.#options.cache.fills.close()
    await this.retain([])
  }
}
