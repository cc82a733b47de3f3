import { once } from 'node:events'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Exchange } from '../exchange.ts'

/**
 * Answers with one JSON document per line, as they come. What fails before the first is thrown, and so an answer of its
 * own; what fails later breaks the connection, so that nobody takes what came for the whole.
 */
export async function respondLines(exchange: Exchange, lines: AsyncIterable<object>): Promise<Response> {
  const { outgoing, signal } = exchange
  const iterator = lines[Symbol.asyncIterator]()
  let next = await iterator.next()
  try {
    outgoing.writeHead(200, { 'Content-Type': 'application/x-ndjson' })
    for (; !next.done; next = await iterator.next()) {
      if (!outgoing.write(`${JSON.stringify(next.value)}\n`)) await once(outgoing, 'drain', { signal })
      signal.throwIfAborted()
    }
    exchange.answered = true
    outgoing.end()
  } catch (error) {
    exchange.breakOff(error)
    await iterator.return?.().catch(() => {}) // what went wrong first is told
  }
  return RESPONSE_ALREADY_SENT
}
