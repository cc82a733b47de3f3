import { setTimeout as delay } from 'node:timers/promises'
import { untilAborted } from '../async/single-flight.ts'
import type { Credentials } from '../credentials/credentials.ts'
import { denied, isKind, type RegistryError, unavailable } from '../oci/errors.ts'
import type { Pull } from '../oci/registry.ts'
import { type Rule, upstreamHost } from '../rules/rule.ts'
import { publish } from '../telemetry/events.ts'
import { Account, Accounts } from './accounts.ts'
import type { Authorization } from './authenticator.ts'
import { Breaker } from './breaker.ts'
import { allowanceIn } from './budget.ts'
import { retryAfterMs, throttledBy } from './cooldown.ts'
import { quirks } from './dialect.ts'
import { reasonOf, wasReset } from './failure.ts'
import type { Incoming } from './incoming.ts'
import { Limits } from './limits.ts'
import { type Answer, follow } from './redirects.ts'
import { Tokens } from './token.ts'
import { type Request, Transport, type TransportOptions } from './transport.ts'

export type ClientOptions = TransportOptions & {
  /** Of each account that the rule has; at least one, which may be anonymous. */
  credentials: readonly Credentials[]
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
 * Questions to one upstream, with all that getting an answer takes: accounts with their tokens and cool-downs, the
 * circuit breaker, limits, retries, redirects. An answer has a status below 500, is neither 401 nor 429, and belongs to the caller.
 */
export class Client implements AsyncDisposable {
  readonly rule: Rule
  readonly host: string
  readonly limits: Limits
  readonly #transport: Transport
  readonly #accounts: Accounts
  readonly #breaker: Breaker
  readonly #retryDelayMs: number

  constructor({ credentials, retryDelayMs = 200, breaker, now = () => performance.now(), ...options }: ClientOptions) {
    const { rule, timeouts } = options
    this.rule = rule
    this.host = upstreamHost(rule)
    this.#transport = new Transport(options)
    const tokenMs = timeouts.connectMs + timeouts.headersMs + timeouts.idleMs
    const accounts = credentials.map((credentials) => {
      const tokens = new Tokens(this.#transport, credentials, tokenMs, now)
      return new Account({ rule, host: this.host, credentials, tokens, now })
    })
    this.#accounts = new Accounts(this.host, rule.budget?.reserve ?? 0, accounts)
    this.#breaker = new Breaker({ host: this.host, now, ...breaker })
    this.limits = new Limits({ host: this.host, limits: rule.limits ?? {}, patienceMs: timeouts.headersMs, now })
    this.#retryDelayMs = retryDelayMs
  }

  async ask(question: Question): Promise<Answer> {
    const signal = question.pull?.signal
    try {
      return await this.#askInTurn(question)
    } catch (error) {
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

  /** Asks with one account after the other, until one of them is neither out of quota nor refused. */
  async #askInTurn(question: Question): Promise<Answer> {
    const failures: RegistryError[] = []
    for (const account of this.#accounts.inOrder(question.pull?.check ?? false)) {
      try {
        const answer = await this.#persist(question, account)
        account.refused = false
        return answer
      } catch (error) {
        if (!isKind(error, 'throttled', 'denied')) throw error
        account.refused = error.kind === 'denied'
        failures.push(error)
      }
    }
    throw this.#accounts.verdict(failures)
  }

  async #persist(question: Question, account: Account): Promise<Answer> {
    for (let attempt = 0; ; attempt++) {
      const last = attempt === maxRetries
      account.cooldown.assertOver()
      try {
        const answer = await this.#authorized(question, account)
        const { incoming } = answer
        if (incoming.status < 500 && incoming.status !== 429) return answer
        await incoming.drop()
        if (incoming.status === 429) {
          account.cooldown.start(retryAfterMs(incoming))
          throw throttledBy(incoming)
        }
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

  async #authorized(question: Question, account: Account): Promise<Answer> {
    const signal = question.pull?.signal
    const scope = `repository:${question.repository}:pull`
    const known = await account.known(scope, signal)
    const first = await this.#follow(question, known)
    if (!isRefusal(first)) return this.#counted(first, account)
    known?.forget()
    const header = await this.#challenge(question, first.incoming, known)
    const fresh = await account.meet(header, scope, signal)
    if (fresh) {
      const second = await this.#follow(question, fresh)
      if (!isRefusal(second)) return this.#counted(second, account)
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
    if (foreign && incoming.status === 401) {
      await incoming.drop()
      throw unavailable(`${this.host} redirects to a host that wants a credential`)
    }
    return answer
  }

  async #send(request: Request): Promise<Incoming> {
    const own = request.url.origin === new URL(this.rule.upstream).origin
    if (!own) return this.#transport.send(request)
    await this.limits.request(request.signal)
    return this.#breaker.run(() => this.#transport.send(request))
  }

  /** Passes an answer on, and takes note of what it tells of the account's rate limit. */
  #counted(answer: Answer, account: Account): Answer {
    const allowance = answer.foreign ? undefined : allowanceIn(answer.incoming)
    if (!allowance) return answer
    account.budget.note(allowance)
    const source = answer.incoming.header('docker-ratelimit-source')
    publish('cistern:ratelimit', {
      upstream: this.host,
      ...this.#accounts.left,
      windowMs: allowance.windowMs,
      ...(source && /^[\w.:-]{1,64}$/.test(source) && { source }),
    })
    return answer
  }
}

const isRefusal = ({ incoming, foreign }: Answer): boolean =>
  incoming.status === 401 || (incoming.status === 403 && !foreign)

const challengeIn = ({ headers }: Incoming): string | string[] | undefined => headers['www-authenticate']
