import { getCACertificates } from 'node:tls'
import { Agent, buildConnector, type Dispatcher, EnvHttpProxyAgent } from 'undici'
import { Pace } from '../async/pace.ts'
import { type Rule, upstreamHost } from '../rules/rule.ts'
import { type Events, publish } from '../telemetry/events.ts'
import { assertPublicLiteral, lookUpPublic } from './addresses.ts'
import { Incoming } from './incoming.ts'

/** In milliseconds. `idleMs` is the longest silence in a body. */
export type Timeouts = { connectMs: number; headersMs: number; idleMs: number }

/** Values of the usual environment variables of these names. Without its own, HTTPS takes the proxy of HTTP. */
export type ProxySettings = { httpProxy?: string; httpsProxy?: string; noProxy?: string }

export type TransportOptions = {
  rule: Rule
  timeouts: Timeouts
  /** Lets every origin be private, whoever named it. */
  allowPrivate: boolean
  userAgent?: string
  proxy?: ProxySettings
}

export type Request = {
  url: URL
  method: 'GET' | 'HEAD'
  kind: Events['cistern:upstream']['kind']
  headers: Record<string, string>
  signal?: AbortSignal | undefined
  requestId?: string | undefined
}

const connectionsPerHost = 128

/** HTTP exchanges for one rule, over connections of its own. Follows no redirect and adds no credential. */
export class Transport implements AsyncDisposable {
  readonly #agent: Dispatcher
  readonly #upstream: string
  readonly #timeouts: Timeouts
  readonly #userAgent: string
  readonly #mayBePrivate: (origin: string) => boolean
  readonly #bandwidth: Pace | undefined

  constructor({ rule, timeouts, allowPrivate, userAgent = 'cistern', proxy }: TransportOptions) {
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
    this.#agent = agentFor(rule, timeouts, proxy, this.#mayBePrivate)
  }

  /** Resolves once the headers are there; the caller owns the answer. Throws `unavailable` or the signal's reason. */
  async send({ url, method, kind, headers, signal, requestId }: Request): Promise<Incoming> {
    if (!this.#mayBePrivate(url.origin)) assertPublicLiteral(url.hostname)
    const { connectMs, headersMs, idleMs } = this.#timeouts
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
    this.#agent.dispatch(
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
    await this.#agent.destroy()
  }
}

function agentFor(
  rule: Rule,
  { connectMs }: Timeouts,
  proxy: ProxySettings | undefined,
  mayBePrivate: (origin: string) => boolean,
): Dispatcher {
  // A `ca` of one's own replaces all others.
  const ca = rule.ca === undefined ? {} : { ca: [...getCACertificates('default'), rule.ca] }
  const tcp = { ...ca, timeout: connectMs, allowH2: false }
  const anywhere = buildConnector(tcp)
  const publicOnly = buildConnector({ ...tcp, lookup: lookUpPublic })
  const connect: buildConnector.connector = (options, callback) => {
    const { origin } = new URL(`${options.protocol}//${options.host ?? options.hostname}`)
    return (mayBePrivate(origin) ? anywhere : publicOnly)(options, callback)
  }
  const options = { connect, allowH2: false, connections: connectionsPerHost }
  if (!proxy?.httpProxy && !proxy?.httpsProxy) return new Agent(options)
  return new EnvHttpProxyAgent({
    ...options,
    requestTls: tcp,
    connectTimeout: connectMs,
    httpProxy: proxy.httpProxy ?? '',
    httpsProxy: proxy.httpsProxy ?? '',
    noProxy: proxy.noProxy ?? '',
  })
}
