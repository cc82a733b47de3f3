import type { IncomingHttpHeaders } from 'node:http'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Dispatcher } from 'undici'
import type { Pace } from '../async/pace.ts'
import { corrupt, throttled, unavailable } from '../oci/errors.ts'
import { failureOf, reasonOf } from './failure.ts'

const highWater = 256 * 1024

/** Taken in one turn of the event loop: a socket would give megabytes before it lets others have theirs. */
const turnSize = 64 * 1024

const slowestBytesPerSecond = 1024
const longestDrop = 16 * 1024
const dropMs = 500

export type IncomingOptions = {
  host: string
  /** How long status and headers may take, with the wait for a connection. */
  headMs: number
  /** A body slower than 1 KiB/s for so long is given up. */
  idleMs: number
  /** Ends the answer until it is detached. */
  signal?: AbortSignal
  /** Called once, when no more bytes come. */
  onEnd?: (received: number) => void
  /** Bounds the bytes of the body, together with those of others. */
  pace?: Pace
}

/**
 * One answer of a remote host, as it arrives. Its body waits in memory, at most a few hundred KiB, and then upstream
 * waits. Whoever holds it reads it to its end, drops it or destroys it. All failures are `RegistryError`s, or the
 * reason of the signal.
 */
export class Incoming implements Dispatcher.DispatchHandler {
  status = 0
  headers: IncomingHttpHeaders = {}
  /** Body bytes so far. */
  received = 0
  readonly host: string
  readonly #idleMs: number
  readonly #signal: AbortSignal | undefined
  readonly #abort: () => void
  readonly #onEnd: ((received: number) => void) | undefined
  readonly #pace: Pace | undefined
  readonly #head = Promise.withResolvers<void>()
  readonly #chunks: Uint8Array[] = []
  #queued = 0
  /** Bytes of the body that came in this turn of the event loop. */
  #inTurn = 0
  #ended = false
  #failure: { reason: unknown } | undefined
  #wake: (() => void) | undefined
  #controller: Dispatcher.DispatchController | undefined
  #watch: NodeJS.Timeout | undefined
  readonly #patience: NodeJS.Timeout
  /** Runs while upstream waits for the pace. */
  #hold: NodeJS.Timeout | undefined
  /** Whether it ran since the speed was looked at. */
  #held = false

  constructor({ host, headMs, idleMs, signal, onEnd, pace }: IncomingOptions) {
    this.host = host
    this.#idleMs = idleMs
    this.#signal = signal
    this.#onEnd = onEnd
    this.#pace = pace
    this.#abort = () => signal && this.destroy(reasonOf(signal, host))
    this.#head.promise.catch(() => {})
    this.#patience = setTimeout(() => this.#giveUpOnHead(), headMs).unref()
    if (signal?.aborted) this.#abort()
    else signal?.addEventListener('abort', this.#abort, { once: true })
  }

  /** Resolves once status and headers are there. */
  get head(): Promise<void> {
    return this.#head.promise
  }

  /** The whole body was received. */
  get ended(): boolean {
    return this.#ended
  }

  /** One value of a header; of several, none counts. */
  header(name: string): string | undefined {
    const value = this.headers[name]
    return typeof value === 'string' ? value : undefined
  }

  /** The declared length of the body, where it is declared well. */
  get length(): number | undefined {
    const text = this.header('content-length')
    return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined
  }

  /** The next piece of the body; `undefined` at its end. One call at a time. */
  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const chunk = this.#chunks.shift()
      if (chunk) {
        this.#queued -= chunk.length
        this.#goOn()
        return chunk
      }
      if (this.#failure) throw this.#failure.reason
      if (this.#ended) return undefined
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** The whole body. Throws `corrupt`, and receives no more, where it is longer than `limit` bytes. */
  async read(limit: number): Promise<Buffer> {
    const chunks: Uint8Array[] = []
    if ((this.length ?? 0) > limit) throw this.#tooLong(limit)
    for (let chunk = await this.next(); chunk; chunk = await this.next()) {
      chunks.push(chunk)
      if (this.received > limit) throw this.#tooLong(limit)
    }
    await nextTurn() // undici takes a connection back one turn after its answer ended: a request before that opens another
    return Buffer.concat(chunks)
  }

  /** Ends an answer whose body does not matter: one that is short and quick is read, so that its connection serves again. */
  async drop(): Promise<void> {
    const patience = setTimeout(() => this.destroy(), dropMs)
    await this.read(longestDrop).catch(() => this.destroy())
    clearTimeout(patience)
  }

  /** The signal it was asked under has no more say. */
  detach(): void {
    this.#signal?.removeEventListener('abort', this.#abort)
  }

  /** Breaks the connection, unless the answer was received whole. */
  destroy(reason: unknown = unavailable(`the answer of ${this.host} was not wanted`)): void {
    if (!this.#settle(reason)) return
    this.#chunks.length = 0
    this.#controller?.abort(reason instanceof Error ? reason : new Error('aborted', { cause: reason }))
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#failure) controller.abort(new Error('aborted'))
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200) return
    this.status = status
    this.headers = headers
    clearTimeout(this.#patience)
    this.#watchSpeed()
    this.#head.resolve()
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Uint8Array): void {
    this.received += chunk.length
    this.#queued += chunk.length
    this.#chunks.push(chunk)
    const waitMs = this.#pace?.take(chunk.length) ?? 0
    if (waitMs > 0) this.#holdFor(waitMs)
    if (this.#inTurn === 0) setImmediate(() => this.#nextTurn())
    this.#inTurn += chunk.length
    if (!this.#wantsMore) controller.pause()
    this.#wake?.()
  }

  onResponseEnd(): void {
    if (this.#failure) return
    this.#ended = true
    this.#settled()
  }

  onResponseError(_: unknown, error: Error): void {
    this.#settle(failureOf(error, this.host))
  }

  #settle(reason: unknown): boolean {
    if (this.#ended || this.#failure) return false
    this.#failure = { reason }
    this.#head.reject(reason)
    this.#settled()
    return true
  }

  #settled(): void {
    clearInterval(this.#watch)
    clearTimeout(this.#patience)
    clearTimeout(this.#hold)
    this.detach()
    this.#onEnd?.(this.received)
    this.#wake?.()
  }

  get #wantsMore(): boolean {
    return this.#queued < highWater && this.#inTurn < turnSize && !this.#hold
  }

  #goOn(): void {
    if (this.#wantsMore) this.#controller?.resume()
  }

  #nextTurn(): void {
    this.#inTurn = 0
    this.#goOn()
  }

  #holdFor(waitMs: number): void {
    this.#held = true
    clearTimeout(this.#hold)
    this.#hold = setTimeout(() => {
      this.#hold = undefined
      this.#goOn()
    }, waitMs).unref()
  }

  /**
   * Catches what undici's own timer does not: a body that drips. Time in which nobody takes the bytes, or the
   * pace holds them up, does not count.
   */
  #watchSpeed(): void {
    let before = 0
    const fewest = (slowestBytesPerSecond * this.#idleMs) / 1000
    this.#watch = setInterval(() => {
      const slow = this.received - before < fewest && this.#queued === 0 && !this.#held
      before = this.received
      this.#held = this.#hold !== undefined
      if (slow) this.destroy(unavailable(`${this.host} sends too slowly`, { timedOut: true }))
    }, this.#idleMs).unref()
  }

  /** Catches what undici's own timers do not: other answers holding all connections, and interim ones without end. */
  #giveUpOnHead(): void {
    const waiting = this.#controller === undefined
    const late = unavailable(`${this.host} did not answer in time`, { timedOut: true })
    this.destroy(waiting ? throttled(`all connections to ${this.host} are in use`, { retryAfterMs: 1000 }) : late)
  }

  #tooLong(limit: number) {
    const error = corrupt(`${this.host} sent more than ${limit} bytes where less is expected`)
    this.destroy(error)
    return error
  }
}
