import { setTimeout as delay } from 'node:timers/promises'
import { untilAborted } from '../async/single-flight.ts'
import type { Credentials } from '../credentials/credentials.ts'
import { denied, isKind, unavailable } from '../oci/errors.ts'
import type { Pull } from '../oci/registry.ts'
import { type Rule, upstreamHost } from '../rules/rule.ts'
import { publish } from '../telemetry/events.ts'
import { Authenticator, type Authorization } from './authenticator.ts'
import { Breaker } from './breaker.ts'
import { Cooldown, retryAfterMs, throttledBy } from './cooldown.ts'
import { quirks } from './dialect.ts'
import { reasonOf, wasReset } from './failure.ts'
import type { Incoming } from './incoming.ts'
import { type Answer, follow } from './redirects.ts'
import { Tokens } from './token.ts'
import { type Request, Transport, type TransportOptions } from './transport.ts'

export type ClientOptions = TransportOptions & {
  credentials: Credentials
  /** The first pause before a retry, in milliseconds; each further one is twice as long. */
  retryDelayMs?: number
  breaker?: { threshold?: number; openMs?: number }
  /** Milliseconds of a clock that never goes back. */
  now?: () => number
}

export type Question = {
  kind: Request['kind']
  method: Request['method']
  url: URL
  repository: string
  headers: Record<string, string>
  pull: Pull | undefined
}

const maxRetries = 2
const transient = new Set([500, 502, 503, 504])

/**
 * Questions to one upstream, with all that getting an answer takes: its cool-down, the circuit breaker, retries,
 * tokens, redirects. An answer has a status below 500, is neither 401 nor 429, and belongs to the caller.
 */
export class Client implements AsyncDisposable {
  readonly rule: Rule
  readonly host: string
  readonly #transport: Transport
  readonly #authenticator: Authenticator
  readonly #breaker: Breaker
  readonly #cooldown: Cooldown
  readonly #retryDelayMs: number

  constructor({ credentials, retryDelayMs = 200, breaker, now = () => performance.now(), ...options }: ClientOptions) {
    const { rule, timeouts } = options
    this.rule = rule
    this.host = upstreamHost(rule)
    this.#transport = new Transport(options)
    const tokenMs = timeouts.connectMs + timeouts.headersMs + timeouts.idleMs
    this.#authenticator = new Authenticator(rule, credentials, new Tokens(this.#transport, credentials, tokenMs, now))
    this.#breaker = new Breaker({ host: this.host, now, ...breaker })
    this.#cooldown = new Cooldown(this.host, now)
    this.#retryDelayMs = retryDelayMs
  }

  async ask(question: Question): Promise<Answer> {
    const signal = question.pull?.signal
    try {
      return await this.#persist(question)
    } catch (error) {
      if (isKind(error, 'throttled')) this.#cooldown.start(error.retryAfterMs ?? 0)
      if (signal?.aborted && error === signal.reason) throw reasonOf(signal, this.host)
      throw error
    }
  }

  /** Waits before try number `attempt`, from 0, of something that failed. Rejects with the signal's reason. */
  async pause(attempt: number, signal: AbortSignal | undefined): Promise<void> {
    const jitter = 0.5 + Math.random()
    await untilAborted(delay(this.#retryDelayMs * 2 ** attempt * jitter), signal)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#transport[Symbol.asyncDispose]()
  }

  async #persist(question: Question): Promise<Answer> {
    for (let attempt = 0; ; attempt++) {
      const last = attempt === maxRetries
      this.#cooldown.assertOver()
      try {
        const answer = await this.#authorized(question)
        const { incoming } = answer
        if (incoming.status < 500 && incoming.status !== 429) return answer
        await incoming.drop()
        if (incoming.status === 429) throw throttledBy(incoming)
        const waitMs = retryAfterMs(incoming, 0)
        if (last || waitMs > 0 || !transient.has(incoming.status)) {
          const message = `${incoming.host} answered ${incoming.status}`
          throw unavailable(message, waitMs > 0 ? { retryAfterMs: waitMs } : {})
        }
      } catch (error) {
        if (last || !wasReset(error)) throw error
      }
      await this.pause(attempt, question.pull?.signal)
    }
  }

  async #authorized(question: Question): Promise<Answer> {
    const signal = question.pull?.signal
    const scope = `repository:${question.repository}:pull`
    const known = await this.#authenticator.known(scope, signal)
    const first = await this.#follow(question, known)
    if (!isRefusal(first)) return first
    known?.forget()
    const header = await this.#challenge(question, first.incoming, known)
    const fresh = await this.#authenticator.meet(header, scope, signal)
    if (fresh) {
      const second = await this.#follow(question, fresh)
      if (!isRefusal(second)) return second
      fresh.forget()
      await second.incoming.drop()
    }
    throw denied(`${this.host} denies access to ${question.repository}`)
  }

  /** The challenge to meet after a refusal; some upstreams do not say it there, or say a wrong one. */
  async #challenge(question: Question, refusal: Incoming, sent: Authorization | undefined) {
    await refusal.drop()
    const repeat = sent !== undefined && !quirks[this.rule.dialect].challengesStaleTokens
    const header = repeat ? await this.#challengeOf(question) : challengeIn(refusal)
    if (header !== undefined || refusal.status !== 401) return header
    return this.#challengeOf({ ...question, kind: 'ping', method: 'GET', url: new URL('/v2/', this.rule.upstream) })
  }

  async #challengeOf(question: Question): Promise<string | string[] | undefined> {
    const { incoming } = await this.#follow(question, undefined)
    await incoming.drop()
    return challengeIn(incoming)
  }

  async #follow({ pull, ...rest }: Question, authorization: Authorization | undefined): Promise<Answer> {
    const request = { ...rest, signal: pull?.signal, requestId: pull?.requestId }
    const answer = await follow(this.rule, request, authorization?.header, (hop) => this.#send(hop))
    const { incoming, foreign } = answer
    this.#noteRateLimit(incoming)
    if (foreign && incoming.status === 401) {
      await incoming.drop()
      throw unavailable(`${this.host} redirects to a host that wants a credential`)
    }
    return answer
  }

  #send(request: Request): Promise<Incoming> {
    const own = request.url.origin === new URL(this.rule.upstream).origin
    return own ? this.#breaker.run(() => this.#transport.send(request)) : this.#transport.send(request)
  }

  #noteRateLimit(incoming: Incoming): void {
    const limit = leadingNumber(incoming.header('ratelimit-limit'))
    const remaining = leadingNumber(incoming.header('ratelimit-remaining'))
    if (limit === undefined && remaining === undefined) return
    const source = incoming.header('docker-ratelimit-source')
    publish('cistern:ratelimit', {
      upstream: this.host,
      ...(limit !== undefined && { limit }),
      ...(remaining !== undefined && { remaining }),
      ...(source && /^[\w.:-]{1,64}$/.test(source) && { source }),
    })
  }
}

const isRefusal = ({ incoming, foreign }: Answer): boolean =>
  incoming.status === 401 || (incoming.status === 403 && !foreign)

const challengeIn = ({ headers }: Incoming): string | string[] | undefined => headers['www-authenticate']

/** Of a value like `100;w=21600`. */
const leadingNumber = (value: string | undefined): number | undefined => {
  const match = /^\d{1,9}/.exec(value ?? '')
  return match ? Number(match[0]) : undefined
}
