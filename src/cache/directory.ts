import type { Registry } from '../oci/registry.ts'
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

/** One registry per rule, made when it is first asked for and kept until its rule changes. */
export class Directory {
  readonly #options: DirectoryOptions
  readonly #entries = new Map<Rule, { registry: Registry; upstream: OwnedRegistry | undefined }>()
  readonly #unruled: Registry

  constructor(options: DirectoryOptions) {
    this.#options = options
    this.#unruled = new PullThrough(options.cache, new Origin(undefined, undefined))
  }

  /** The registry behind a rule; without one, that of cached repositories that no rule leads to any more. */
  registryOf(rule: Rule | undefined): Registry {
    if (!rule) return this.#unruled
    const entry = this.#entries.get(rule)
    if (entry) return entry.registry
    const upstream = this.#options.offline ? undefined : this.#options.openUpstream(rule)
    const registry = new PullThrough(this.#options.cache, new Origin(rule, upstream))
    this.#entries.set(rule, { registry, upstream })
    return registry
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

  /** Ends all transfers and closes all upstreams. */
  async close(): Promise<void> {
    await this.#options.cache.fills.close()
    await this.retain([])
  }
}
