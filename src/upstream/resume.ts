import { untilAborted } from '../async/single-flight.ts'
import { corrupt, isKind, unavailable } from '../oci/errors.ts'
import type { Body, Sink } from '../oci/registry.ts'
import { publish } from '../telemetry/events.ts'
import type { Opening } from './opening.ts'

const maxFruitless = 5
const maxResumes = 100

export type ResumingOptions = {
  first: Opening
  /** Asks anew for what lies between two bytes of the blob, the second one counting. */
  reopen(start: number, end: number, signal: AbortSignal | undefined): Promise<Opening>
  /** Waits before try number `attempt` in a row, from 0. */
  pause(attempt: number, signal: AbortSignal | undefined): Promise<void>
  /** Called when nothing more is asked for, once or more often. */
  done(): void
  /** The host that stands in events. */
  upstream: string
  requestId?: string | undefined
}

/**
 * A body that mends itself: where the transfer breaks, stalls or ends early it asks again from there, the whole way by
 * the registry, for signed URLs and tokens age. Never sends more than was declared.
 */
export class ResumingBody implements Body {
  readonly #options: ResumingOptions
  #opening: Opening
  #position: number
  #used = false
  #disposed = false

  constructor(options: ResumingOptions) {
    this.#options = options
    this.#opening = options.first
    this.#position = options.first.range.start
  }

  async sendTo(sink: Sink, signal?: AbortSignal): Promise<void> {
    if (this.#used) throw new Error('a body can be sent only once')
    this.#used = true
    const abort = () => this.#opening.incoming.destroy(signal?.reason)
    signal?.addEventListener('abort', abort, { once: true })
    try {
      signal?.throwIfAborted()
      await this.#sendAll(sink, signal)
    } catch (error) {
      signal?.throwIfAborted()
      throw error
    } finally {
      signal?.removeEventListener('abort', abort)
      await this[Symbol.asyncDispose]()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true
    this.#opening.incoming.destroy()
    this.#options.done()
  }

  async #sendAll(sink: Sink, signal: AbortSignal | undefined): Promise<void> {
    let fruitless = 0
    for (let resumes = 0; ; resumes++) {
      const before = this.#position
      const unreachable = resumes > 0 ? await this.#reopen(signal) : undefined
      const broken = unreachable ?? (await this.#drain(sink, signal))
      if (this.#left === 0) return
      fruitless = this.#position > before ? 0 : fruitless + 1
      if (this.#disposed || fruitless > maxFruitless || resumes === maxResumes) throw broken
      await this.#options.pause(fruitless, signal)
    }
  }

  /** Sends what the present opening yields, and resolves to why it is no more. Rejects with errors of the sink. */
  async #drain(sink: Sink, signal: AbortSignal | undefined): Promise<unknown> {
    const { incoming, start } = this.#opening
    let toSkip = this.#position - start
    while (this.#left > 0) {
      const chunk = await incoming.next().catch((error: unknown) => ({ error }))
      if (chunk === undefined) return unavailable(`${incoming.host} sent less than it declared`)
      if ('error' in chunk) return chunk.error
      const wanted = chunk.subarray(toSkip, toSkip + this.#left)
      toSkip -= Math.min(toSkip, chunk.length)
      if (wanted.length === 0) continue
      const written = sink.write(wanted)
      if (written) await untilAborted(written, signal)
      this.#position += wanted.length
    }
    return undefined
  }

  /** Resolves to the failure where upstream cannot be reached now: that counts as one more transfer that broke. */
  async #reopen(signal: AbortSignal | undefined): Promise<unknown> {
    const { first, reopen, upstream, requestId } = this.#options
    const { digest, size } = first.descriptor
    this.#opening.incoming.destroy()
    try {
      this.#opening = await reopen(this.#position, first.range.end, signal)
    } catch (error) {
      if (isKind(error, 'unavailable')) return error
      throw isKind(error, 'range') ? corrupt(`blob ${digest} became shorter`) : error
    }
    if (this.#disposed || signal?.aborted) this.#opening.incoming.destroy()
    if (this.#opening.descriptor.size !== size) throw corrupt(`blob ${digest} changed its size`)
    const bytes = this.#position - first.range.start
    publish('cistern:fill', { phase: 'resumed', digest, upstream, bytes, ...(requestId && { requestId }) })
    return undefined
  }

  /** Bytes still to be sent. */
  get #left(): number {
    return this.#options.first.range.end + 1 - this.#position
  }
}
