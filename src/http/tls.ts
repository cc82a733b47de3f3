import type { ServerOptions } from 'node:http'
import { createServer } from 'node:https'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Proof } from './certificate.ts'
import { publishRefusal } from './client-error.ts'

/** An HTTPS server, not yet listening. New connections get the latest certificate; those there are stay as they are. */
export function createTlsServer(certificate: Proof, options: ServerOptions) {
  const { asksClients } = certificate
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
  server.once('listening', () => {
    const end = certificate.follow(() => server.setSecureContext(certificate.context))
    server.once('close', end)
  })
  return {
    server,
    /** Ends all connections, also those that did not come to a request yet. */
    breakOff: () => {
      for (const socket of sockets) socket.destroy()
    },
  }
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
