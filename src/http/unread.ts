import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'

const maxBytes = 64 * 1024
const lingerMs = 1000

/** Whether a request has a body, by what it says. */
export const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0

/** Whether there is a body that nobody asked for: the client may still be sending it. */
export const hasUnreadBody = (incoming: IncomingMessage): boolean => !incoming.readableEnded && hasBody(incoming)

/**
 * Reads and drops what a client still sends although its answer is out, at most 64 KiB of it. Resolves once it ended,
 * broke, or a second passed: closing at once would reset the connection before the client could read the answer.
 */
export function dropInput(input: Readable): Promise<void> {
  return new Promise((resolve) => {
    let dropped = 0
    const done = () => {
      clearTimeout(timer)
      input.pause()
      resolve()
    }
    const timer = setTimeout(done, lingerMs)
    input.once('end', done).once('close', done).once('error', done)
    input.on('data', (chunk: Uint8Array) => {
      dropped += chunk.byteLength
      if (dropped >= maxBytes) input.pause()
    })
  })
}
