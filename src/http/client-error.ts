import { randomUUID } from 'node:crypto'
import type { Socket } from 'node:net'
import { addressOf } from '../access/client-limits.ts'
import type { Code } from '../oci/errors.ts'
import { type Events, publish } from '../telemetry/events.ts'
import { errorBody } from './oci/errors.ts'
import { dropInput } from './unread.ts'

/** What is said on a connection that is not served any further. */
export type Refusal = { status: number; reason: string; code: Code; message: string; retryAfterS?: number }

const code = 'UNSUPPORTED'
const malformed: Refusal = { status: 400, reason: 'Bad Request', code, message: 'the request is malformed' }

const refusals: ReadonlyMap<string | undefined, Refusal> = new Map([
  [
    'HPE_HEADER_OVERFLOW',
    { status: 431, reason: 'Request Header Fields Too Large', code, message: 'too many headers' },
  ],
  ['ERR_HTTP_REQUEST_TIMEOUT', { status: 408, reason: 'Request Timeout', code, message: 'the request took too long' }],
])

/**
 * Ends a connection on which something came that is no HTTP request. While an answer is under way on it, nothing may be
 * said: it would stand inside that answer.
 */
export function refuseMalformed(error: NodeJS.ErrnoException, socket: Socket, answering: boolean): void {
  if (!socket.writable || answering || error.code === 'ECONNRESET') {
    socket.destroy()
    return
  }
  refuse(socket, refusals.get(error.code) ?? malformed, 'malformed')
}

/** Says why, and ends the connection; whatever its client still sends is dropped. `route` names the case in the log. */
export function refuse(socket: Socket, { status, reason, code, message, retryAfterS }: Refusal, route: string): void {
  const body = JSON.stringify(errorBody(code, message))
  const head = [
    `HTTP/1.1 ${status} ${reason}`,
    'Content-Type: application/json',
    'X-Content-Type-Options: nosniff',
    ...(retryAfterS === undefined ? [] : [`Retry-After: ${retryAfterS}`]),
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ]
  socket.removeAllListeners('data')
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
  void dropInput(socket).then(() => socket.destroy())
  publishRefusal(socket, { route, status, bytes: Buffer.byteLength(body) })
}

/** Announces what came on a connection and was no request. */
export function publishRefusal(
  { remoteAddress }: Socket,
  what: Pick<Events['cistern:request'], 'route' | 'status' | 'bytes' | 'error'>,
): void {
  publish('cistern:request', {
    ...what,
    requestId: randomUUID(),
    method: '',
    durationMs: 0,
    aborted: false,
    client: addressOf(remoteAddress),
    userAgent: '',
  })
}
