import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { nameInvalid } from '../oci/errors.ts'
import { publish } from '../telemetry/events.ts'
import type { App } from './app.ts'
import type { Certificate } from './certificate.ts'
import { refuseMalformed } from './client-error.ts'
import { Connections } from './connections.ts'
import { Exchange } from './exchange.ts'
import { rawPathFault } from './gate.ts'
import { respondError } from './oci/errors.ts'
import type { QuickAnswers } from './quick.ts'
import { Shortcuts } from './shortcuts.ts'
import { createTlsServer } from './tls.ts'
import { type Network, TrustedProxies } from './trusted-proxies.ts'
import { Turns } from './turns.ts'

export type ServeOptions = {
  /** How long a client may take for one chunk of a body, at most a MiB. */
  writeStallMs?: number
  /** How long a client may take to send the head of a request. */
  headersTimeoutMs?: number
  /** And how long for the whole of it; 0 for as long as it takes. */
  requestTimeoutMs?: number
  /** How long a connection may idle between requests: longer than load balancers keep theirs. */
  keepAliveTimeoutMs?: number
  maxConnections?: number
  /** Of one client that is no trusted proxy; further ones are refused. */
  maxConnectionsPerClient?: number
  /** Whose word counts for whom they ask. */
  trustedProxies?: readonly Network[]
  /** Whether each request is announced. Probes are not worth a log line. */
  announce?: boolean
  /** Speaks TLS, by the latest version of this. */
  certificate?: Certificate
  /** Gives answers that were given before; absent, each is worked out. */
  quick?: QuickAnswers
}

/** Port 0 takes any that is free. */
export type ListenOptions = ServeOptions & { host: string; port: number }

/** A port that is served. */
export type Listener = {
  /** As bound, `http://host:port`, or `https://` with a certificate. */
  readonly url: string
  readonly port: number
  /** Takes no more connections, lets answers under way finish for `graceMs`, then breaks them off. */
  close(graceMs: number): Promise<void>
}

const maxHeaderSize = 16 * 1024

/** Serves `app` at an address. */
export async function listen(app: App, { host, port, ...options }: ListenOptions): Promise<Listener> {
  const { server, close } = await serveAt({ host, port }, app, options)
  const { port: bound } = server.address() as AddressInfo
  const scheme = options.certificate ? 'https' : 'http'
  return { url: `${scheme}://${host.includes(':') ? `[${host}]` : host}:${bound}`, port: bound, close }
}

/**
 * Serves `app` at an address or on a UNIX socket. Owns the HTTP server: what comes in is checked as it stood on the
 * wire, before anything reads it.
 */
export async function serveAt(
  place: { host: string; port: number } | { path: string },
  app: App,
  options: ServeOptions,
): Promise<Pick<Listener, 'close'> & { server: Server }> {
  const { headersTimeoutMs = 15_000, keepAliveTimeoutMs = 75_000 } = options
  const { maxConnections = 10_000, maxConnectionsPerClient = maxConnections } = options
  const { server, breakOff } = serverOf(options.certificate, {
    maxHeaderSize,
    headersTimeout: headersTimeoutMs,
    requestTimeout: options.requestTimeoutMs ?? 2 * headersTimeoutMs,
    connectionsCheckingInterval: Math.min(5000, headersTimeoutMs),
    keepAliveTimeout: keepAliveTimeoutMs,
  })
  server.maxConnections = maxConnections
  const connections = new Connections(maxConnectionsPerClient, { tells: !options.certificate })
  const proxies = new TrustedProxies(options.trustedProxies ?? [])
  const turns = new Turns()
  const serve = requestHandler(app, proxies, options)
  const { quick } = options
  const isOpen = () => server.listening
  const shortcuts = quick && new Shortcuts(quick, { isOpen, keepAliveTimeoutMs })
  const handle = (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const asked = isOpen() ? quick?.answer(incoming, outgoing) : undefined
    shortcuts?.note(incoming, outgoing, asked)
    if (asked) return
    turns.take(incoming, outgoing, () => {
      outgoing.once('close', () => {
        if (!server.listening) setImmediate(() => server.closeIdleConnections())
      })
      if (!server.listening) outgoing.shouldKeepAlive = false
      void serve(incoming, outgoing)
    })
  }
  server.on('connection', (socket) => {
    if (!proxies.has(socket.remoteAddress)) connections.accept(socket)
  })
  if (shortcuts)
    server.on(options.certificate ? 'secureConnection' : 'connection', (socket) => shortcuts.accept(socket))
  server.on('drop', () =>
    publish('cistern:fault', { where: 'http', kind: 'throttled', message: 'too many connections: one was closed' }),
  )
  server.on('request', handle)
  server.on('checkContinue', handle) // nobody is invited to send a body that will not be read
  server.on('clientError', (error: NodeJS.ErrnoException, socket) =>
    refuseMalformed(error, socket as Socket, turns.answering(socket)),
  )
  server.listen(place)
  await once(server, 'listening')
  server.on('error', (error) =>
    publish('cistern:fault', { where: 'http', kind: 'internal', message: 'a connection could not be accepted', error }),
  )
  return { server, close: (graceMs) => drain(server, graceMs, breakOff) }
}

function requestHandler(
  app: App,
  proxies: TrustedProxies,
  { writeStallMs = 60_000, announce = true, quick }: ServeOptions,
) {
  const exchanges = new WeakMap<object, Exchange>()
  const answer = getRequestListener(
    async (request, env) => {
      const exchange = exchanges.get(env.incoming)
      try {
        return await app.fetch(request, { ...env, exchange })
      } catch (error) {
        exchange?.breakOff(error)
        return RESPONSE_ALREADY_SENT
      }
    },
    { overrideGlobalObjects: false, autoCleanupIncoming: false },
  )
  return async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const exchange = new Exchange(incoming, outgoing, proxies.senderOf(incoming), writeStallMs)
    exchanges.set(incoming, exchange)
    if (announce) exchange.publishWhenOver()
    if (quick) exchange.keep = quick.keeper(exchange)
    outgoing.setHeader('Docker-Distribution-Api-Version', 'registry/2.0')
    outgoing.setHeader('X-Content-Type-Options', 'nosniff')
    outgoing.setHeader('X-Request-Id', exchange.requestId)
    try {
      const fault = rawPathFault(incoming.url ?? '', incoming.headersDistinct.host)
      if (fault !== undefined) return void (await respondError(exchange, nameInvalid(fault)))
      incoming.headers.host = 'localhost' // what the client calls us shapes nothing from here on
      await answer(incoming, outgoing)
    } catch (error) {
      exchange.breakOff(error)
    }
  }
}

function serverOf(certificate: Certificate | undefined, options: ServerOptions) {
  if (certificate) return createTlsServer(certificate, options)
  const server = createServer(options)
  return { server, breakOff: () => server.closeAllConnections() }
}

async function drain(server: Server, graceMs: number, breakOff: () => void): Promise<void> {
  const closed = once(server, 'close')
  const timeout = setTimeout(breakOff, graceMs)
  server.close()
  await closed
  clearTimeout(timeout)
}
