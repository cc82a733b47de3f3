import { isIPv6 } from 'node:net'
import { LRUCache } from 'lru-cache'
import { throttled } from '../oci/errors.ts'

export type ClientLimitsOptions = {
  /** How many questions a client may put to upstreams per minute of those that lead to nothing, and at most at once. */
  unknownPerMinute: number
  /** What a client without budget is told. */
  refusal?: string
  /** How many clients are remembered. */
  maxClients?: number
  /** Milliseconds on a clock that only goes forward. */
  now?: () => number
}

type Bucket = { tokens: number; filledAt: number }

const minuteMs = 60_000

/**
 * Keeps one client from using up an upstream's patience with names that do not exist. A question costs its client until
 * it turns out to be fruitful: so however many are asked at once, no more can lead to nothing than the budget has. What
 * is cached is free. Safe to call from anywhere.
 */
export class ClientLimits {
  readonly #perMinute: number
  readonly #refusal: string
  readonly #now: () => number
  readonly #buckets: LRUCache<string, Bucket>

  constructor({
    unknownPerMinute,
    refusal = 'too many requests for what does not exist',
    maxClients = 10_000,
    now = () => performance.now(),
  }: ClientLimitsOptions) {
    this.#perMinute = unknownPerMinute
    this.#refusal = refusal
    this.#now = now
    this.#buckets = new LRUCache({ max: maxClients })
  }

  /** Charges `client` for a question to an upstream. Throws `throttled` to a client without budget. */
  charge(client: string): void {
    const { tokens, filledAt } = this.#bucketOf(client)
    if (tokens >= 1) return void this.#buckets.set(networkOf(client), { tokens: tokens - 1, filledAt })
    const retryAfterMs = this.#perMinute > 0 ? ((1 - tokens) / this.#perMinute) * minuteMs : minuteMs
    throw throttled(this.#refusal, { retryAfterMs })
  }

  /** Gives back what a question cost that was not in vain. */
  refund(client: string): void {
    const { tokens, filledAt } = this.#bucketOf(client)
    this.#buckets.set(networkOf(client), { tokens: Math.min(this.#perMinute, tokens + 1), filledAt })
  }

  #bucketOf(client: string): Bucket {
    const filledAt = this.#now()
    const known = this.#buckets.get(networkOf(client))
    if (!known) return { tokens: this.#perMinute, filledAt }
    const refill = ((filledAt - known.filledAt) / minuteMs) * this.#perMinute
    return { tokens: Math.min(this.#perMinute, known.tokens + refill), filledAt }
  }
}

/** The address of a client: an IPv4 address is the same one when it comes mapped into IPv6. */
export function addressOf(remoteAddress: string | undefined): string {
  const address = remoteAddress ?? 'unknown'
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address
}

/** What counts as one client: an IPv4 address, or the /64 that an IPv6 host has to itself. */
export function networkOf(client: string | undefined): string {
  const address = addressOf(client)
  if (!isIPv6(address)) return address
  const [head = '', tail] = address.split('%', 1).join('').split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0')
  const groups = [...left, ...zeros, ...right].slice(0, 4)
  return `${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`
}
