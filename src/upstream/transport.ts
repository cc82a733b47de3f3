import { Pace } from '../async/pace.ts'
import type { Credentials } from '../credentials/credentials.ts'
import { type Rule, upstreamHost } from '../rules/rule.ts'
import { type Events, publish } from '../telemetry/events.ts'
import { assertPublicLiteral } from './addresses.ts'
import { Incoming } from './incoming.ts'
import { type ProxySettings, Route } from './route.ts'

/** In milliseconds. `idleMs` is the longest silence in a body. */
export type Timeouts = { connectMs: number; headersMs: number; idleMs: number }

export type TransportOptions = {
  rule: Rule
  timeouts: Timeouts
  /** Lets every origin be private, whoever named it. */
  allowPrivate: boolean
  userAgent?: string
  /** What the environment says of proxies; a rule's own word counts for more. */
  proxy?: ProxySettings
  /** What the rule's proxy wants to see; absent, nothing. */
  proxyCredentials?: Credentials
}

export type Request = {
  url: URL
  method: 'GET' | 'HEAD'
  kind: Events['cistern:upstream']['kind']
  headers: Record<string, string>
  signal?: AbortSignal | undefined
  requestId?: string | undefined
}

/** HTTP exchanges for one rule, over connections of its own. Follows no redirect and adds no credential. */
export class Transport implements AsyncDisposable {
  readonly #route: Route
  readonly #upstream: string
  readonly #timeouts: Timeouts
  readonly #userAgent: string
  readonly #mayBePrivate: (origin: string) => boolean
  readonly #bandwidth: Pace | undefined

  constructor({ rule, timeouts, allowPrivate, userAgent = 'cistern', ...proxies }: TransportOptions) {
    const named = rule.source === 'api' ? [] : [rule.upstream, ...rule.realmHosts, ...(rule.redirectHosts ?? [])]
    const origins = new Set(named.map((text) => new URL(text).origin))
    this.#mayBePrivate = (origin) => allowPrivate || origins.has(origin)
    this.#upstream = upstreamHost(rule)
    this.#timeouts = timeouts
    this.#userAgent = userAgent
    const bytesPerSecond = rule.limits?.bytesPerSecond
    this.#bandwidth =
      bytesPerSecond === undefined
        ? undefined
        : new Pace({ perSecond: bytesPerSecond, burst: 1, now: () => performance.now() })
    const { connectMs } = timeouts
    this.#route = new Route({ rule, connectMs, ...proxies, mayBePrivate: this.#mayBePrivate })
  }

  /** Resolves once the headers are there; the caller owns the answer. Throws `unavailable` or the signal's reason. */
  async send({ url, method, kind, headers, signal, requestId }: Request): Promise<Incoming> {
    if (!this.#mayBePrivate(url.origin)) assertPublicLiteral(url.hostname)
    const { connectMs, headersMs, idleMs } = this.#timeouts
    const dispatcher = await this.#route.dispatcher()
    const startedAt = performance.now()
    const onEnd = (bytes: number) => {
      const counts = bytes > 0 && (kind === 'manifest' || kind === 'blob')
      if (counts) publish('cistern:pulled', { upstream: this.#upstream, kind, bytes })
    }
    const pace = kind === 'blob' ? this.#bandwidth : undefined
    const headMs = connectMs + headersMs
    const incoming = new Incoming({
      host: url.host,
      headMs,
      idleMs,
      onEnd,
      ...(signal && { signal }),
      ...(pace && { pace }),
    })
    dispatcher.dispatch(
      {
        origin: url.origin,
        path: `${url.pathname}${url.search}`,
        method,
        headers: { 'user-agent': this.#userAgent, 'accept-encoding': 'identity', ...headers },
        headersTimeout: headersMs,
        bodyTimeout: idleMs,
      },
      incoming,
    )
    try {
      await incoming.head
      return incoming
    } finally {
      const durationMs = performance.now() - startedAt
      const { status } = incoming
      publish('cistern:upstream', {
        upstream: this.#upstream,
        kind,
        method,
        status,
        durationMs,
        ...(requestId && { requestId }),
      })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#route[Symbol.asyncDispose]()
  }
}
