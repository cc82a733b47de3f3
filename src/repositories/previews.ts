import { LRUCache } from 'lru-cache'
import { Places } from '../async/places.ts'
import type { LifecyclePolicy } from '../lifecycle/policy.ts'
import type { Digest } from '../oci/digest.ts'
import { publish } from '../telemetry/events.ts'
import type { Expiring } from './expiring.ts'

/** What a policy would do to a repository, of which nothing was done. */
export type Preview = {
  readonly policyText: string
  readonly status: 'IN_PROGRESS' | 'COMPLETE' | 'FAILED'
  /** Those held longest come first. */
  readonly expiring: readonly ExpiringImage[]
}

export type ExpiringImage = {
  readonly digest: Digest
  readonly tags: readonly string[]
  /** Milliseconds since the epoch. */
  readonly pushedAt: number
  readonly rulePriority: number
}

const maxWaiting = 31
const maxAgeMs = 24 * 60 * 60_000
/** Images in all previews that are kept, each of which counts as one more. */
const maxSize = 200_000

/** The latest preview of each repository, in memory, for a day at most. Its owner disposes it, which ends what runs. */
export class Previews implements AsyncDisposable {
  readonly #expiring: Expiring
  readonly #ending = new AbortController()
  readonly #places = new Places(1, maxWaiting)
  readonly #running = new Map<string, { policyText: string; ended: Promise<void> }>()
  readonly #ended: LRUCache<string, Preview>

  /** `clock` tells milliseconds since the epoch. */
  constructor(expiring: Expiring, clock: () => number) {
    this.#expiring = expiring
    this.#ended = new LRUCache({
      maxSize,
      sizeCalculation: ({ expiring }) => expiring.length + 1,
      ttl: maxAgeMs,
      ttlResolution: 0,
      perf: { now: clock },
    })
  }

  /** Begins one, in place of the one before; not while that runs, nor while many do. */
  start(repository: string, policyText: string, policy: LifecyclePolicy): 'started' | 'running' | 'too many' {
    if (this.#running.has(repository)) return 'running'
    if (this.#places.full && this.#places.waiting >= maxWaiting) return 'too many'
    this.#ended.delete(repository)
    this.#running.set(repository, { policyText, ended: this.#run(repository, policyText, policy) })
    return 'started'
  }

  get(repository: string): Preview | undefined {
    const running = this.#running.get(repository)
    if (running) return { policyText: running.policyText, status: 'IN_PROGRESS', expiring: [] }
    return this.#ended.get(repository)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort()
    await Promise.all([...this.#running.values()].map(({ ended }) => ended))
  }

  async #run(repository: string, policyText: string, policy: LifecyclePolicy): Promise<void> {
    const { signal } = this.#ending
    let leave: (() => void) | undefined
    try {
      leave = await this.#places.take(signal)
      const expirations = await this.#expiring.in(repository, policy, signal)
      if (expirations.length >= maxSize) throw new Error('more images expire than a preview has room for')
      const expiring = expirations.map(({ image: { digest, tags, pushedAt }, rulePriority }) => ({
        ...{ digest, tags, pushedAt, rulePriority },
      }))
      this.#ended.set(repository, { policyText, status: 'COMPLETE', expiring })
    } catch (error) {
      if (signal.aborted) return
      this.#ended.set(repository, { policyText, status: 'FAILED', expiring: [] })
      const message = 'a lifecycle policy could not be previewed'
      publish('cistern:fault', { where: 'metadata', kind: 'internal', message, repository, error })
    } finally {
      leave?.()
      this.#running.delete(repository)
    }
  }
}
