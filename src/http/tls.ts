import type { ServerOptions } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { publish } from '../telemetry/events.ts'
import type { Certificate } from './certificate.ts'
import { publishRefusal } from './client-error.ts'

const lookEveryMs = 1000

/** An HTTPS server, not yet listening. New connections get the latest certificate; those there are stay as they are. */
export function createTlsServer(certificate: Certificate, options: ServerOptions) {
  const asksClients = certificate.files.clientCaFile !== undefined
  const server = createServer({
    ...options,
    ...certificate.context,
    requestCert: asksClients,
    rejectUnauthorized: asksClients,
    ...(options.headersTimeout !== undefined && { handshakeTimeout: options.headersTimeout }),
  })
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  // Node hands these on as if they were malformed requests, to be answered in HTTP.
  server.removeAllListeners('tlsClientError').on('tlsClientError', refuseHandshake)
  server.once('listening', () => follow(certificate, server))
  return {
    server,
    /** Ends all connections, also those that did not come to a request yet. */
    breakOff: () => {
      for (const socket of sockets) socket.destroy()
    },
  }
}

function follow(certificate: Certificate, server: Server): void {
  let timer: NodeJS.Timeout | undefined
  const tell = (replaced: boolean) => {
    const { files, validity, exposed } = certificate
    publish('cistern:certificate', { file: files.certFile, replaced, ...validity })
    const message = `${files.keyFile}: every user of this machine can read the key of the certificate`
    if (exposed) publish('cistern:fault', { where: 'http', kind: 'invalid', message })
  }
  const look = async () => {
    const changed = await certificate.look()
    if (!server.listening) return
    if (changed) {
      server.setSecureContext(certificate.context)
      tell(true)
    }
    timer = setTimeout(look, lookEveryMs).unref()
  }
  tell(false)
  timer = setTimeout(look, lookEveryMs).unref()
  server.once('close', () => clearTimeout(timer))
}

/** A connection that breaks before anything was said is a probe, or a client that went. */
function refuseHandshake(error: NodeJS.ErrnoException, socket: TLSSocket): void {
  const { authorizationError } = socket // where the certificate of the client is the reason, its code
  const gone = !authorizationError && error.code === 'ECONNRESET'
  const reason = authorizationError ? ofTheClient(String(authorizationError)) : ofOpenSsl(error)
  if (!gone) publishRefusal(beneath(socket), { route: 'handshake', status: 400, bytes: 0, error: reason })
  socket.destroy()
}

const ofTheClient = (code: string) => Object.assign(new Error('the certificate of the client does not do'), { code })

/** What OpenSSL says, without the address of its thread and the lines of its source. */
function ofOpenSsl(error: NodeJS.ErrnoException & { reason?: string }): Error {
  const { code = '', reason } = error
  return Object.assign(new Error(reason ?? error.message), { code: code.replace(/^ERR_/, '') })
}

/** Node has closed it where it did not like the client's certificate: only the one beneath knows then whose it was. */
const beneath = (socket: TLSSocket & { _parent?: Socket }): Socket =>
  socket.remoteAddress === undefined ? (socket._parent ?? socket) : socket
