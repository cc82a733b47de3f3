import { dockerHub } from './origin.ts'
import { type Rule, upstreamHost } from './rule.ts'

/** A prefix is at most a repository long, so that a longer path costs no more look-ups. */
const maxPrefixLength = 255

/** The rules in force, held in memory. Of several rules with one prefix the last counts. */
export class RuleBook {
  readonly #defaultUpstream: string | undefined
  #byPrefix: ReadonlyMap<string, Rule>

  /** `defaultUpstream` is the prefix of the rule for names that state none. Without such a rule it is off. */
  constructor(rules: Iterable<Rule>, defaultUpstream?: string) {
    this.#defaultUpstream = defaultUpstream
    this.#byPrefix = byPrefix(rules)
  }

  /** The rule of a prefix or of another name for it; never the `ROOT` rule. */
  get(prefixOrAlias: string): Rule | undefined {
    if (prefixOrAlias === 'ROOT') return undefined
    const own = this.#byPrefix.get(prefixOrAlias)
    return own ?? (dockerHub.includes(prefixOrAlias) ? this.#byPrefix.get('docker.io') : undefined)
  }

  /** The rule whose prefix takes most whole segments of `path` and leaves some; never the `ROOT` rule. */
  longestPrefix(path: string): { rule: Rule; rest: string } | undefined {
    for (let end = path.lastIndexOf('/', maxPrefixLength); end > 0; end = path.lastIndexOf('/', end - 1)) {
      const rule = this.get(path.slice(0, end))
      const rest = path.slice(end + 1)
      if (rule && rest !== '') return { rule, rest }
    }
    return undefined
  }

  /** The rule of a registry named by `host[:port]`: by prefix, else by upstream where exactly one rule leads there. */
  byNamespace(ns: string): Rule | undefined {
    const named = this.get(ns)
    if (named) return named
    const hosts = dockerHub.includes(ns) ? dockerHub : [ns]
    const [only, ...others] = this.list().filter((rule) => hosts.includes(upstreamHost(rule)))
    return others.length === 0 ? only : undefined
  }

  /**
   * The rule that a repository of ours, by its local name, belongs to. Names under the default upstream have its prefix:
   * one that has none belongs to `ROOT` alone.
   */
  ruleOf(repository: string): Rule | undefined {
    return this.longestPrefix(repository)?.rule ?? this.#byPrefix.get('ROOT')
  }

  /** Where names without a prefix lead. */
  get root(): Rule | undefined {
    return this.#byPrefix.get('ROOT') ?? this.get(this.#defaultUpstream ?? 'ROOT')
  }

  list(): Rule[] {
    return [...this.#byPrefix.values()]
  }

  /** Puts other rules in force, all at once. */
  replace(rules: Iterable<Rule>): void {
    this.#byPrefix = byPrefix(rules)
  }
}

const byPrefix = (rules: Iterable<Rule>): ReadonlyMap<string, Rule> =>
  new Map(Array.from(rules, (rule) => [rule.prefix, rule]))
