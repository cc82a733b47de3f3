import type { Credentials } from '../credentials/credentials.ts'
import { isKind, type RegistryError, throttled } from '../oci/errors.ts'
import type { Rule } from '../rules/rule.ts'
import { Authenticator, type Authorization } from './authenticator.ts'
import { Budget } from './budget.ts'
import { Cooldown } from './cooldown.ts'
import type { Tokens } from './token.ts'

export type AccountOptions = { rule: Rule; host: string; credentials: Credentials; tokens: Tokens; now: () => number }

/** One credential at one upstream, with the tokens it yields and what upstream lets it do. */
export class Account {
  readonly cooldown: Cooldown
  readonly budget: Budget
  /** Upstream refused it the last time: others are tried before it. */
  refused = false
  readonly #authenticator: Authenticator

  constructor({ rule, host, credentials, tokens, now }: AccountOptions) {
    this.#authenticator = new Authenticator(rule, credentials, tokens)
    this.cooldown = new Cooldown(host, now)
    this.budget = new Budget(now)
  }

  /** As `Authenticator.known`. */
  known(scope: string, signal: AbortSignal | undefined): Promise<Authorization | undefined> {
    return this.#coolingDown(this.#authenticator.known(scope, signal))
  }

  /** As `Authenticator.meet`. */
  meet(...parameters: Parameters<Authenticator['meet']>): Promise<Authorization | undefined> {
    return this.#coolingDown(this.#authenticator.meet(...parameters))
  }

  /** A token server that allows no more for now means the account. */
  async #coolingDown<T>(authorization: Promise<T>): Promise<T> {
    try {
      return await authorization
    } catch (error) {
      if (isKind(error, 'throttled')) this.cooldown.start(error.retryAfterMs ?? 0)
      throw error
    }
  }
}

/** The accounts of one rule at one upstream, at least one. */
export class Accounts {
  readonly #host: string
  readonly #reserve: number
  readonly #all: readonly Account[]

  /** The last `reserve` requests that upstream allows an account are not spent on checks. */
  constructor(host: string, reserve: number, all: readonly Account[]) {
    this.#host = host
    this.#reserve = reserve
    this.#all = all
  }

  /**
   * Those to ask with, the one with most left first. Throws `throttled` for a check where all have come down to the
   * reserve.
   */
  inOrder(check: boolean): Account[] {
    const spared = check && this.#reserve > 0
    const able = spared ? this.#all.filter((account) => remainingOf(account) > this.#reserve) : this.#all
    if (able.length === 0) throw throttled(`what ${this.#host} still allows is kept for what is not cached`)
    return able.toSorted((a, b) => Number(a.refused) - Number(b.refused) || compare(remainingOf(b), remainingOf(a)))
  }

  /** What the failures of all that were tried come to: the earliest time to come again, or the first refusal. */
  verdict(failures: readonly RegistryError[]): RegistryError | undefined {
    const [only, ...others] = failures
    const limited = failures.find(({ kind }) => kind === 'throttled')
    return others.length > 0 && limited ? this.#throttled() : only
  }

  /** What is left in all accounts that upstream said anything of. */
  get left(): { limit?: number; remaining?: number } {
    const limit = sum(this.#all.map(({ budget }) => budget.limit))
    const remaining = sum(this.#all.map(({ budget }) => budget.remaining))
    return { ...(limit !== undefined && { limit }), ...(remaining !== undefined && { remaining }) }
  }

  #throttled(): RegistryError {
    const waits = this.#all.map(({ cooldown }) => cooldown.leftMs).filter((leftMs) => leftMs > 0)
    return throttled(`${this.#host} allows no more requests for now`, { retryAfterMs: Math.min(...waits, hourMs) })
  }
}

const hourMs = 3_600_000

/** Where nothing is known there is no limit. */
const remainingOf = ({ budget }: Account): number => budget.remaining ?? Number.POSITIVE_INFINITY

/** The difference of infinities is no number. */
const compare = (a: number, b: number): number => (a === b ? 0 : a - b)

function sum(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined)
  return known.length === 0 ? undefined : known.reduce((total, value) => total + value, 0)
}
