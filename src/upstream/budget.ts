import type { Incoming } from './incoming.ts'

/** What an answer tells of a rate limit, in requests per window. */
export type Allowance = { limit?: number; remaining?: number; windowMs: number }

/** Where an upstream names no window, what it says is soon out of date. */
const defaultWindowMs = 60_000
const longestWindowMs = 24 * 3_600_000

/** Of headers like `ratelimit-remaining: 76;w=21600`; `undefined` where there are none. */
export function allowanceIn(incoming: Incoming): Allowance | undefined {
  const limit = parse(incoming.header('ratelimit-limit'))
  const remaining = parse(incoming.header('ratelimit-remaining'))
  const windowMs = remaining?.windowMs ?? limit?.windowMs ?? defaultWindowMs
  if (!limit && !remaining) return undefined
  return { ...(limit && { limit: limit.count }), ...(remaining && { remaining: remaining.count }), windowMs }
}

/** What is left of one account's allowance, as far as upstream said so. What it said counts for the window it named. */
export class Budget {
  readonly #now: () => number
  #allowance: Allowance | undefined
  #endsAt = 0

  constructor(now: () => number) {
    this.#now = now
  }

  note(allowance: Allowance): void {
    this.#allowance = allowance
    this.#endsAt = this.#now() + allowance.windowMs
  }

  get limit(): number | undefined {
    return this.#current?.limit
  }

  /** `undefined` where nothing is known: upstreams without a limit say nothing. */
  get remaining(): number | undefined {
    return this.#current?.remaining
  }

  get #current(): Allowance | undefined {
    return this.#now() < this.#endsAt ? this.#allowance : undefined
  }
}

function parse(value: string | undefined): { count: number; windowMs?: number } | undefined {
  const [, count, seconds] = /^(\d{1,9})(?:\s*;\s*w=(\d{1,9}))?/.exec(value ?? '') ?? []
  if (count === undefined) return undefined
  const windowMs = Math.min(Number(seconds) * 1000, longestWindowMs)
  return { count: Number(count), ...(seconds !== undefined && { windowMs }) }
}
