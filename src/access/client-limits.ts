import { isIPv6 } from 'node:net'
import { LRUCache } from 'lru-cache'
import { throttled } from '../oci/errors.ts'

export type ClientLimitsOptions = {
  /** How many questions that led to nothing a client may have put to upstreams per minute, and at most at once. */
  unknownPerMinute: number
  /** How many clients are remembered. */
  maxClients?: number
  /** Milliseconds on a clock that only goes forward. */
  now?: () => number
}

type Bucket = { tokens: number; filledAt: number }

const minuteMs = 60_000

/**
 * Keeps one client from using up an upstream's patience with names that do not exist. Only questions that reached an
 * upstream and found nothing count; what is cached is free. Safe to call from anywhere.
 */
export class ClientLimits {
  readonly #perMinute: number
  readonly #now: () => number
  readonly #buckets: LRUCache<string, Bucket>

  constructor({ unknownPerMinute, maxClients = 10_000, now = () => performance.now() }: ClientLimitsOptions) {
    this.#perMinute = unknownPerMinute
    this.#now = now
    this.#buckets = new LRUCache({ max: maxClients })
  }

  /** To be called before an upstream is asked on behalf of `client`. Throws `throttled` to a client without budget. */
  admit(client: string): void {
    const { tokens } = this.#bucketOf(client)
    if (tokens >= 1) return
    const retryAfterMs = this.#perMinute > 0 ? ((1 - tokens) / this.#perMinute) * minuteMs : minuteMs
    throw throttled('too many requests for what does not exist', { retryAfterMs })
  }

  /** An upstream was asked on behalf of `client`, and had nothing. */
  penalise(client: string): void {
    const key = networkOf(client)
    const bucket = this.#bucketOf(client)
    this.#buckets.set(key, { ...bucket, tokens: Math.max(0, bucket.tokens - 1) })
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
function networkOf(client: string): string {
  const address = addressOf(client)
  if (!isIPv6(address)) return address
  const [head = '', tail] = address.split('%', 1).join('').split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0')
  const groups = [...left, ...zeros, ...right].slice(0, 4)
  return `${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`
}
