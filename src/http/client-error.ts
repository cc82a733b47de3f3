import { randomUUID } from 'node:crypto'
import type { Socket } from 'node:net'
import { addressOf } from '../access/client-limits.ts'
import { publish } from '../telemetry/events.ts'
import { errorBody } from './oci/errors.ts'
import { dropInput } from './unread.ts'

type Refusal = { status: number; reason: string; message: string }

const malformed: Refusal = { status: 400, reason: 'Bad Request', message: 'the request is malformed' }

const refusals: ReadonlyMap<string | undefined, Refusal> = new Map([
  ['HPE_HEADER_OVERFLOW', { status: 431, reason: 'Request Header Fields Too Large', message: 'too many headers' }],
  ['ERR_HTTP_REQUEST_TIMEOUT', { status: 408, reason: 'Request Timeout', message: 'the request took too long' }],
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
  const { status, reason, message } = refusals.get(error.code) ?? malformed
  const body = JSON.stringify(errorBody('UNSUPPORTED', message))
  const head = [
    `HTTP/1.1 ${status} ${reason}`,
    'Content-Type: application/json',
    'X-Content-Type-Options: nosniff',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ]
  socket.removeAllListeners('data')
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
  void dropInput(socket).then(() => socket.destroy())
  publish('cistern:request', {
    requestId: randomUUID(),
    method: '',
    route: 'malformed',
    status,
    bytes: Buffer.byteLength(body),
    durationMs: 0,
    aborted: false,
    client: addressOf(socket.remoteAddress),
    userAgent: '',
  })
}
