import { LRUCache } from 'lru-cache'
import type { Changes } from '../async/changes.ts'
import type { Digest } from '../oci/digest.ts'
import type { Outcome } from '../oci/registry.ts'
import type { Events } from '../telemetry/events.ts'

/** An answer that may be given again as it is, to those who were found to have a right to it. */
export type PreparedAnswer = {
  /** What its log lines say. */
  readonly facts: Pick<Events['cistern:request'], 'route' | 'repository' | 'reference' | 'upstream'>
  readonly digest: Digest
  /** Name and value in turn, as `writeHead` takes them, but for those of one request alone. */
  readonly headers: readonly string[]
  /** Where it is short, in Latin-1, so that it leaves in one piece with its headers; nothing for a HEAD. */
  readonly body: string | Uint8Array
  /** When the cache would no longer call it fresh, in milliseconds since the epoch. */
  readonly freshUntil: number
  /** Those who may have it, by what makes a caller. */
  readonly callers: Map<string, Permit>
}

/** That a caller may have something. */
export type Permit = {
  /** In milliseconds since the epoch. */
  readonly until: number
  /** The name of whom the caller proved to be. */
  readonly principal: string
}

export type Keeping = Omit<PreparedAnswer, 'callers' | 'body'> & { body: Uint8Array | undefined }

type Entry = { answer: PreparedAnswer; changes: number; keptAt: number; usedAt: number }

export type PreparedOptions = {
  /** Of all that is kept, in bytes. */
  maxBytes: number
  /** Counts what takes effect at once: rules, keys, policies, and what is deleted. */
  changes: Pick<Changes, 'count'>
  /** Told what is in use: what is given all the time must not look forgotten. */
  used: (digest: Digest) => void
  /** Milliseconds since the epoch. */
  clock: () => number
}

/** The largest body that is kept, in bytes. */
export const maxBody = 64 * 1024

/** The longest body that is kept as a string. */
const longestText = 4 * 1024

/** Now and then a request goes the whole way, for all that hangs on one that does. */
const maxAgeMs = 10_000

/** Uses closer together than this are told once. */
const useMs = 50

const maxCallers = 10_000

/** What is counted for an entry besides its body. */
const overhead = 2048

/**
 * Answers from the cache that are asked for again and again. One is given again for some seconds, and never after any
 * change of what it hangs on: the rules, the keys, the policies, or that it is still in the cache.
 */
export class PreparedAnswers {
  readonly #entries: LRUCache<string, Entry>
  readonly #changes: Pick<Changes, 'count'>
  readonly #used: (digest: Digest) => void
  readonly #clock: () => number

  constructor({ maxBytes, changes, used, clock }: PreparedOptions) {
    this.#entries = new LRUCache({
      maxSize: Math.max(1, maxBytes),
      sizeCalculation: ({ answer }) => answer.body.length + overhead,
    })
    this.#changes = changes
    this.#used = used
    this.#clock = clock
  }

  get now(): number {
    return this.#clock()
  }

  /** What is counted now; an answer that was worked out before a change is not kept after it. */
  get changes(): number {
    return this.#changes.count
  }

  /** Whether there is an answer, good or not. */
  has(key: string): boolean {
    return this.#entries.has(key)
  }

  /** The answer to a request with this key, if it may be given as it is to who has a permit. */
  find(key: string, now: number): PreparedAnswer | undefined {
    const entry = this.#entries.get(key)
    if (!entry || entry.changes !== this.#changes.count) return undefined
    const { answer, keptAt, usedAt } = entry
    if (now >= answer.freshUntil || now - keptAt >= maxAgeMs) return undefined
    if (now - usedAt >= useMs) {
      entry.usedAt = now
      this.#used(answer.digest)
    }
    return answer
  }

  /** Keeps an answer that was worked out while `changes` were counted. */
  keep(
    request: { method: string; target: string; caller: string; permit: Permit; changes: number },
    { body, ...answer }: Keeping,
  ): void {
    const { method, target, caller, permit, changes } = request
    if (changes !== this.#changes.count || (body?.length ?? 0) > maxBody) return
    const key = keyOf(method, target)
    const known = this.#entries.peek(key)
    const now = this.#clock()
    const sharesCallers = known?.changes === changes && known.answer.callers.size < maxCallers
    const callers = sharesCallers ? known.answer.callers : new Map<string, Permit>()
    callers.set(caller, permit)
    this.#entries.set(key, { answer: { ...answer, callers, body: kept(body) }, changes, keptAt: now, usedAt: now })
  }
}

/** A string leaves as it is copied: that is quicker for short ones, and slower for long ones. Measured with 1 KB and 10. */
function kept(body: Uint8Array | undefined): string | Uint8Array {
  if (!body || body.length > longestText) return body ?? ''
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('latin1')
}

/** What an answer is found by. */
export const keyOf = (method: string, target: string): string => (method === 'HEAD' ? `HEAD ${target}` : target)

/** What makes a caller: where it calls from, and what it proves itself with. */
export const callerOf = (client: string, authorization: string | undefined): string =>
  authorization === undefined ? client : `${client} ${authorization}`

/** How long an answer of the cache may be given again, in milliseconds; 0 for one that is more than a plain hit. */
export const repeatableMs = (outcome: Outcome | undefined): number =>
  outcome?.cache === 'hit' ? (outcome.ttlMs ?? Number.POSITIVE_INFINITY) : 0
