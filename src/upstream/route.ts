import { isIP } from 'node:net'
import { getCACertificates } from 'node:tls'
import { Agent, buildConnector, type Dispatcher, EnvHttpProxyAgent, Pool, ProxyAgent } from 'undici'
import type { Credentials } from '../credentials/credentials.ts'
import { unavailable } from '../oci/errors.ts'
import type { Rule } from '../rules/rule.ts'
import { lookUpPublic } from './addresses.ts'

/** Values of the usual environment variables of these names. Without its own, HTTPS takes the proxy of HTTP. */
export type ProxySettings = { httpProxy?: string; httpsProxy?: string; noProxy?: string }

export type RouteOptions = {
  rule: Rule
  connectMs: number
  /** What the environment says of proxies; a rule's own word counts for more. */
  proxy?: ProxySettings
  /** What the rule's proxy wants to see; absent, nothing. */
  proxyCredentials?: Credentials
  mayBePrivate: (origin: string) => boolean
}

const connectionsPerHost = 128

/**
 * How the hosts of one rule are reached, over connections of its own: directly, where looked-up addresses are checked,
 * or through a proxy, which looks names up by itself. What a proxy wants to see is shown to nobody else.
 */
export class Route implements AsyncDisposable {
  readonly #options: RouteOptions
  /** The latest of them serves; what runs on earlier ones goes on. */
  readonly #dispatchers = new Set<Dispatcher>()
  #latest: { authorization: string | undefined; dispatcher: Dispatcher } | undefined
  #ended = false

  constructor(options: RouteOptions) {
    this.#options = options
  }

  /** Throws `unavailable` where the credential of the proxy cannot be read, and once it is disposed. */
  async dispatcher(): Promise<Dispatcher> {
    const { proxyCredentials } = this.#options
    const credential = await proxyCredentials?.get()
    const authorization = credential && basic(credential.username, credential.password)
    if (this.#ended) throw unavailable('the upstream is not in use any more')
    const before = this.#latest
    if (before && before.authorization === authorization) return before.dispatcher
    const dispatcher = open(this.#options, authorization)
    this.#dispatchers.add(dispatcher)
    this.#latest = { authorization, dispatcher }
    before?.dispatcher.close().then(
      () => this.#dispatchers.delete(before.dispatcher),
      () => {},
    )
    return dispatcher
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true
    await Promise.all([...this.#dispatchers].map((dispatcher) => dispatcher.destroy()))
  }
}

function open(options: RouteOptions, authorization: string | undefined): Dispatcher {
  const { rule, connectMs, proxy: usual, mayBePrivate } = options
  // A `ca` of one's own replaces all others.
  const ca = rule.ca === undefined ? {} : { ca: [...getCACertificates('default'), rule.ca] }
  const tcp = { ...ca, timeout: connectMs, allowH2: false }
  const pools = { allowH2: false, connections: connectionsPerHost }
  const direct = { ...pools, connect: publicWhereItHasToBe(tcp, mayBePrivate) }
  const proxied = {
    ...pools,
    requestTls: tcp,
    proxyTls: tcp,
    connectTimeout: connectMs,
    factory: (origin: string | URL, options: PoolOptions) => new Pool(origin, { ...pools, ...byAddress(options) }),
    // A proxy that does not answer CONNECT holds up nobody for longer than one that does not take a connection.
    clientFactory: (origin: URL, options: PoolOptions) =>
      new Pool(origin, { ...byAddress(options), headersTimeout: connectMs }),
  }
  if (rule.proxy === 'none') return new Agent(direct)
  if (rule.proxy)
    return new ProxyAgent({ ...proxied, uri: rule.proxy.url, ...(authorization && { token: authorization }) })
  if (!usual?.httpProxy && !usual?.httpsProxy) return new Agent(direct)
  return new EnvHttpProxyAgent({
    ...proxied,
    ...direct,
    httpProxy: usual.httpProxy ?? '',
    httpsProxy: usual.httpsProxy ?? '',
    noProxy: usual.noProxy ?? '',
  })
}

type PoolOptions = { connect?: buildConnector.connector }

/** undici names a proxy in its handshake also where it is known by an address alone, which Node does not allow. */
function byAddress({ connect, ...options }: PoolOptions): PoolOptions {
  if (!connect) return options
  return {
    ...options,
    connect: ({ servername = '', ...to }, callback) =>
      connect({ ...to, ...(servername !== '' && isIP(servername) === 0 && { servername }) }, callback),
  }
}

/** Connects to the addresses that a name leads to at that moment, if they are public or may be otherwise. */
function publicWhereItHasToBe(
  tcp: buildConnector.BuildOptions,
  mayBePrivate: (origin: string) => boolean,
): buildConnector.connector {
  const anywhere = buildConnector(tcp)
  const publicOnly = buildConnector({ ...tcp, lookup: lookUpPublic })
  return (options, callback) => {
    const { origin } = new URL(`${options.protocol}//${options.host ?? options.hostname}`)
    return (mayBePrivate(origin) ? anywhere : publicOnly)(options, callback)
  }
}

const basic = (username: string, password: string): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
