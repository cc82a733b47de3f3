import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { nameInvalid } from '../oci/errors.ts'
import { publish } from '../telemetry/events.ts'
import type { Proof } from './certificate.ts'
import { refuseMalformed } from './client-error.ts'
import { Connections, publishTooMany } from './connections.ts'
import { Exchange } from './exchange.ts'
import { rawPathFault } from './gate.ts'
import { respondError } from './oci/errors.ts'
import type { QuickAnswers } from './quick.ts'
import { Shortcuts } from './shortcuts.ts'
import { createTlsServer } from './tls.ts'
import { type Network, TrustedProxies } from './trusted-proxies.ts'
import { Turns } from './turns.ts'

/** Answers what came in, or throws as long as no header is out. */
export type Answering = (exchange: Exchange) => Promise<unknown>

export type ServeOptions = {
  /** How long a client may take for one chunk of a body, at most a MiB. */
  writeStallMs?: number
  /** How long a client may take to send the head of a request. */
  headersTimeoutMs?: number
  /** And how long for the whole of it; 0 for as long as it takes. */
  requestTimeoutMs?: number
  /** How long a connection may idle between requests: longer than load balancers keep theirs. 0 for ever. */
  keepAliveTimeoutMs?: number
  /** Of the head of a request, in bytes. */
  maxHeaderSize?: number
  maxConnections?: number
  /** Of one client that is no trusted proxy; further ones are refused. */
  maxConnectionsPerClient?: number
  /** Whose word counts for whom they ask. */
  trustedProxies?: readonly Network[]
  /** Whether each request is announced. Probes are not worth a log line. */
  announce?: boolean
  /** Speaks TLS, by the latest version of this. */
  certificate?: Proof
  /** Gives answers that were given before; absent, each is worked out. */
  quick?: QuickAnswers
  /** Those who ask do so for others. */
  attendant?: Attendant
  /** Resolves once whatever was changed up to now is in force everywhere; absent, it is at once. */
  settle?: () => Promise<void>
}

/** Knows for whom a request comes. */
export type Attendant = {
  attend(incoming: IncomingMessage, outgoing: ServerResponse, writeStallMs: number): Exchange
}

/** Port 0 takes any that is free. */
export type Place = { host: string; port: number } | { path: string }

export type ListenOptions = ServeOptions & { host: string; port: number }

/** Connections that are served. */
export type Service = {
  /** Takes no more connections, lets answers under way finish for `graceMs`, then breaks them off. */
  close(graceMs: number): Promise<void>
}

/** A place that is served. */
export type Listener = Service & {
  /** As bound, `http://host:port`, or `https://` with a certificate. Of a socket, its path. */
  readonly url: string
  readonly port: number
}

/**
 * Serves at an address or on a UNIX socket. Owns the HTTP server: what comes in is checked as it stood on the wire,
 * before anything reads it.
 */
export async function serve(place: Place, answer: Answering, options: ServeOptions): Promise<Listener> {
  const { maxConnections = 10_000, maxConnectionsPerClient = maxConnections, certificate } = options
  const { server, proxies, breakOff, end } = makeServer(answer, options)
  const connections = new Connections(maxConnectionsPerClient, { tells: !certificate })
  server.maxConnections = maxConnections
  server.on('connection', (socket) => {
    if (!proxies.has(socket.remoteAddress)) connections.accept(socket)
  })
  server.on('drop', publishTooMany)
  server.listen(place)
  await once(server, 'listening')
  server.on('error', (error) =>
    publish('cistern:fault', { where: 'http', kind: 'internal', message: 'a connection could not be accepted', error }),
  )
  return {
    ...('path' in place ? { url: place.path, port: 0 } : boundAt(server, place.host, certificate)),
    async close(graceMs) {
      const closed = once(server, 'close')
      const timeout = setTimeout(breakOff, graceMs)
      end()
      await closed
      clearTimeout(timeout)
    },
  }
}

/** Serves the same way what somebody else accepts, and counts. `take` is called with each connection. */
export function serveHanded(
  answer: Answering,
  options: Omit<ServeOptions, 'maxConnections' | 'maxConnectionsPerClient'>,
): Service & { take(socket: Socket): void } {
  const { server, breakOff, end } = makeServer(answer, options)
  const open = new Set<Socket>()
  let closed = () => {}
  server.emit('listening') // has Node watch how long heads of requests take
  return {
    take(socket) {
      open.add(socket)
      socket.once('close', () => {
        open.delete(socket)
        if (open.size === 0) closed()
      })
      socket.allowHalfOpen = !options.certificate // as Node has it with connections that it accepts itself
      socket.setNoDelay(true)
      server.emit('connection', socket)
    },
    async close(graceMs) {
      const timeout = setTimeout(breakOff, graceMs)
      end()
      await new Promise<void>((resolve) => {
        closed = resolve
        if (open.size === 0) resolve()
      })
      clearTimeout(timeout)
    },
  }
}

function makeServer(answer: Answering, options: ServeOptions) {
  const { headersTimeoutMs = 15_000, keepAliveTimeoutMs = 75_000, maxHeaderSize = 16 * 1024, quick } = options
  const { server, breakOff } = serverOf(options.certificate, {
    maxHeaderSize,
    headersTimeout: headersTimeoutMs,
    requestTimeout: options.requestTimeoutMs ?? 2 * headersTimeoutMs,
    connectionsCheckingInterval: Math.min(5000, headersTimeoutMs),
    keepAliveTimeout: keepAliveTimeoutMs,
  })
  const proxies = new TrustedProxies(options.trustedProxies ?? [])
  const turns = new Turns()
  const handleNext = requestHandler(answer, proxies, options)
  let ending = false
  const isOpen = () => !ending
  const shortcuts = quick && new Shortcuts(quick, { isOpen, keepAliveTimeoutMs })
  const handle = (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const asked = isOpen() ? quick?.answer(incoming, outgoing) : undefined
    shortcuts?.note(incoming, outgoing, asked)
    if (asked) return
    turns.take(incoming, outgoing, () => {
      outgoing.once('close', () => {
        if (ending) setImmediate(() => server.closeIdleConnections())
      })
      if (ending) outgoing.shouldKeepAlive = false
      void handleNext(incoming, outgoing)
    })
  }
  if (shortcuts)
    server.on(options.certificate ? 'secureConnection' : 'connection', (socket) => shortcuts.accept(socket))
  server.on('request', handle)
  server.on('checkContinue', handle) // nobody is invited to send a body that will not be read
  server.on('clientError', (error: NodeJS.ErrnoException, socket) =>
    refuseMalformed(error, socket as Socket, turns.answering(socket)),
  )
  const end = () => {
    ending = true
    server.close()
  }
  return { server, proxies, breakOff, end }
}

function requestHandler(answer: Answering, proxies: TrustedProxies, options: ServeOptions) {
  const { writeStallMs = 60_000, announce = true, quick, attendant, settle } = options
  return async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const exchange = attendant
      ? attendant.attend(incoming, outgoing, writeStallMs)
      : new Exchange(incoming, outgoing, proxies.senderOf(incoming), writeStallMs)
    if (announce) exchange.publishWhenOver()
    if (quick) exchange.keep = quick.keeper(exchange)
    if (settle && incoming.method !== 'GET' && incoming.method !== 'HEAD') exchange.settle = settle
    outgoing.setHeader('Docker-Distribution-Api-Version', 'registry/2.0')
    outgoing.setHeader('X-Content-Type-Options', 'nosniff')
    outgoing.setHeader('X-Request-Id', exchange.requestId)
    try {
      const fault = rawPathFault(incoming.url ?? '', incoming.headersDistinct.host)
      if (fault !== undefined) await respondError(exchange, nameInvalid(fault))
      else await answer(exchange)
    } catch (error) {
      exchange.breakOff(error)
    }
  }
}

function serverOf(certificate: Proof | undefined, options: ServerOptions) {
  if (certificate) return createTlsServer(certificate, options)
  const server = createServer(options)
  return { server, breakOff: () => server.closeAllConnections() }
}

/** How clients reach an address that is served, with a certificate or without. */
export const urlOf = (host: string, port: number, certificate: Proof | undefined): string =>
  `${certificate ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`

function boundAt(server: Server, host: string, certificate: Proof | undefined): Pick<Listener, 'url' | 'port'> {
  const { port } = server.address() as AddressInfo
  return { url: urlOf(host, port, certificate), port }
}
