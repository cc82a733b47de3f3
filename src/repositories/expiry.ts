import { parseLifecyclePolicy } from '../lifecycle/policy.ts'
import { LifecyclePolicyError } from '../lifecycle/policy-error.ts'
import { publish } from '../telemetry/events.ts'
import type { Deletion } from './deletion.ts'
import type { Expiring } from './expiring.ts'
import type { Settings } from './settings.ts'

export type ExpiryOptions = {
  settings: Settings
  expiring: Expiring
  deletion: Pick<Deletion, 'images'>
  /** Milliseconds since the epoch. */
  clock: () => number
}

/**
 * Deletes what lifecycle policies let go, one repository after the other. What goes wrong with one of them is announced,
 * and tried again with the next run. Its owner disposes it, which ends what runs.
 */
export class Expiry implements AsyncDisposable {
  readonly #options: ExpiryOptions
  readonly #ending = new AbortController()
  /** The repositories whose turn is to come. */
  readonly #waiting = new Set<string>()
  #lastTurn: Promise<void> = Promise.resolve()

  constructor(options: ExpiryOptions) {
    this.#options = options
  }

  /** Applies the policies that were not applied within `intervalMs`. Resolves when all of them are. */
  async run(intervalMs: number): Promise<void> {
    const turns: Promise<void>[] = []
    for await (const [repository, settings] of this.#options.settings.decided()) {
      if (this.#ending.signal.aborted) return
      const { lifecyclePolicy, lifecycleEvaluatedAt = -Infinity } = settings
      const sinceMs = this.#options.clock() - lifecycleEvaluatedAt
      const due = sinceMs < 0 || sinceMs >= intervalMs // a clock may have been set back
      if (lifecyclePolicy !== undefined && due) turns.push(this.soon(repository))
    }
    await Promise.all(turns)
  }

  /** Applies the policy of a repository, if it has one, when those before it are done. Never rejects. */
  soon(repository: string): Promise<void> {
    if (!this.#waiting.has(repository)) {
      this.#waiting.add(repository)
      this.#lastTurn = this.#lastTurn.then(() => this.#apply(repository))
    }
    return this.#lastTurn
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort()
    await this.#lastTurn
  }

  async #apply(repository: string): Promise<void> {
    this.#waiting.delete(repository)
    const { settings, expiring, deletion, clock } = this.#options
    const { signal } = this.#ending
    const startedAt = performance.now()
    try {
      signal.throwIfAborted()
      const { lifecyclePolicy } = await settings.of(repository)
      if (lifecyclePolicy === undefined) return
      const evaluatedAt = clock()
      const expired = await expiring.in(repository, parseLifecyclePolicy(lifecyclePolicy), signal)
      if ((await settings.of(repository)).lifecyclePolicy !== lifecyclePolicy) return // a new one has its own turn
      const { images } = await deletion.images(
        repository,
        expired.map(({ image }) => image.digest),
      )
      await settings.change(repository, (before) =>
        before.lifecyclePolicy === lifecyclePolicy ? { ...before, lifecycleEvaluatedAt: evaluatedAt } : before,
      )
      publish('cistern:expiry', { repository, images: images.size, durationMs: performance.now() - startedAt })
    } catch (error) {
      if (signal.aborted) return
      const kind = error instanceof LifecyclePolicyError ? 'invalid' : 'internal'
      const message = 'a lifecycle policy could not be applied'
      publish('cistern:fault', { where: 'metadata', kind, message, repository, error })
    }
  }
}
