import { isDeepStrictEqual } from 'node:util'
import { type ApiRule, ruleOfApi } from './api-rule.ts'
import type { Rule } from './rule.ts'
import type { RuleBook } from './rule-book.ts'

/** Where rules of the API are kept; `RuleFile` is one. */
export type RuleStore = { readonly rules: readonly ApiRule[]; write(rules: readonly ApiRule[]): Promise<void> }

export type RulesInForceOptions = {
  book: RuleBook
  store: RuleStore
  /** Those of the configuration, and the built-in ones that none of them replaces. */
  configured: readonly Rule[]
  /** Lets go what belongs to no rule in force any more. */
  retain: (rules: readonly Rule[]) => void
}

/** A rule as whoever manages rules sees it: one of the API, or one of the configuration file, which stays as it is. */
export type ManagedRule =
  | { readonly kind: 'api'; readonly rule: ApiRule }
  | { readonly kind: 'file'; readonly rule: Rule }

/** A rule's prefix is taken, or is not there, or is the configuration's to change. */
export class RuleConflict extends Error {
  override readonly name = 'RuleConflict'
  readonly reason: 'exists' | 'missing' | 'fixed' | 'limit'
  readonly prefix: string

  constructor(reason: RuleConflict['reason'], prefix: string) {
    super(`rule ${prefix}: ${reason}`)
    this.reason = reason
    this.prefix = prefix
  }
}

/** https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html */
const maxApiRules = 50

/**
 * All rules: the built-in ones, those of the API in their place, and over both those of the configuration file. A change
 * is on disk and in force when its promise resolves; one happens at a time.
 */
export class RulesInForce {
  readonly #book: RuleBook
  readonly #store: RuleStore
  readonly #retain: RulesInForceOptions['retain']
  #configured: readonly Rule[]
  #lastChange: Promise<unknown> = Promise.resolve()

  constructor({ book, store, configured, retain }: RulesInForceOptions) {
    this.#book = book
    this.#store = store
    this.#configured = configured
    this.#retain = retain
    book.replace(mergedRules(configured, store.rules))
  }

  /** By prefix, in lexical order; the built-in ones are nobody's to manage. */
  list(): ManagedRule[] {
    const fixed = this.#configured.filter(({ source }) => source === 'file')
    const prefixes = new Set(fixed.map(({ prefix }) => prefix))
    const made = this.#store.rules.filter(({ prefix }) => !prefixes.has(prefix))
    return [
      ...fixed.map((rule): ManagedRule => ({ kind: 'file', rule })),
      ...made.map((rule): ManagedRule => ({ kind: 'api', rule })),
    ].sort((a, b) => (a.rule.prefix < b.rule.prefix ? -1 : 1))
  }

  get(prefix: string): ManagedRule | undefined {
    return this.list().find(({ rule }) => rule.prefix === prefix)
  }

  /** Throws `RuleConflict`: `exists` or `limit`. */
  create(rule: ApiRule): Promise<ApiRule> {
    return this.#change((rules) => {
      if (this.get(rule.prefix)) throw new RuleConflict('exists', rule.prefix)
      if (rules.length >= maxApiRules) throw new RuleConflict('limit', rule.prefix)
      return { rules: [...rules, rule], rule }
    })
  }

  /** Resolves to the changed rule. Throws `RuleConflict`: `missing` or `fixed`. */
  update(prefix: string, change: Partial<Omit<ApiRule, 'prefix'>>): Promise<ApiRule> {
    return this.#change((rules) => {
      const before = this.#owned(prefix)
      const rule = { ...before, ...change }
      return { rules: rules.map((known) => (known === before ? rule : known)), rule }
    })
  }

  /** Resolves to what was deleted. Throws `RuleConflict`: `missing` or `fixed`. */
  delete(prefix: string): Promise<ApiRule> {
    return this.#change((rules) => {
      const rule = this.#owned(prefix)
      return { rules: rules.filter((known) => known !== rule), rule }
    })
  }

  /** Puts the rules of another configuration in force, beside those of the API. */
  async reload(configured: readonly Rule[]): Promise<void> {
    await this.#inTurn(async () => {
      this.#configured = configured
      this.#apply()
    })
  }

  #owned(prefix: string): ApiRule {
    const managed = this.get(prefix)
    if (!managed) throw new RuleConflict('missing', prefix)
    if (managed.kind === 'file') throw new RuleConflict('fixed', prefix)
    return managed.rule
  }

  #change(plan: (rules: readonly ApiRule[]) => { rules: readonly ApiRule[]; rule: ApiRule }): Promise<ApiRule> {
    return this.#inTurn(async () => {
      const { rules, rule } = plan(this.#store.rules)
      await this.#store.write(rules)
      this.#apply()
      return rule
    })
  }

  /** A rule that stays as it is stays the same object, and its transfers go on. */
  #apply(): void {
    const inForce = this.#book.list()
    const rules = mergedRules(this.#configured, this.#store.rules).map(
      (rule) => inForce.find((known) => isDeepStrictEqual(known, rule)) ?? rule,
    )
    this.#book.replace(rules)
    this.#retain(this.#book.list())
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#lastChange.then(work, work)
    this.#lastChange = turn
    return turn
  }
}

/** Those of the API stand in the place of built-in ones: of several rules with one prefix the last counts. */
export const mergedRules = (configured: readonly Rule[], made: readonly ApiRule[]): Rule[] => [
  ...configured.filter(({ source }) => source === 'builtin'),
  ...made.map(ruleOfApi),
  ...configured.filter(({ source }) => source !== 'builtin'),
]
