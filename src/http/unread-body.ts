import type { IncomingMessage } from 'node:http'

const maxBytes = 64 * 1024
const lingerMs = 1000

/** Whether the client may still be sending a body that nobody asked for. */
export const hasUnreadBody = ({ headers, complete }: IncomingMessage): boolean =>
  !complete && (headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0)

/**
 * Reads and drops the body of a request that was answered already, at most 64 KiB of it. Resolves once it was read, its
 * client left, or a second passed: closing at once would reset the connection before the client could read the answer.
 */
export function dropBody(incoming: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    let dropped = 0
    const done = () => {
      clearTimeout(timer)
      incoming.pause()
      resolve()
    }
    const timer = setTimeout(done, lingerMs)
    incoming.once('end', done).once('close', done).once('error', done)
    incoming.on('data', (chunk: Uint8Array) => {
      dropped += chunk.byteLength
      if (dropped >= maxBytes) incoming.pause()
    })
  })
}
