import { Agent, type IncomingMessage, request } from 'node:http'
import type { Exchange } from '../exchange.ts'
import { hasBody } from '../unread.ts'
import { errandHeader, passedOn, writeErrand } from './errand.ts'

/** Those that are kept open though nothing runs on them. */
const maxIdle = 64

/** Of an answer's head; that of a client's request fits in together with what is said besides. In bytes. */
export const maxHeadSize = 128 * 1024

/** A front's connections to the owner. Its owner disposes it. */
export class Line implements Disposable {
  readonly #front: number
  readonly #socketPath: string
  readonly #agent = new Agent({ keepAlive: true, maxFreeSockets: maxIdle })

  constructor({ front, socketPath }: { front: number; socketPath: string }) {
    this.#front = front
    this.#socketPath = socketPath
  }

  /**
   * Passes a request on as it came, for as long as its client is there. Resolves to the head of the answer, whose body
   * is the caller's to read or to destroy.
   */
  ask(exchange: Exchange, inFull: boolean): Promise<IncomingMessage> {
    const { incoming, requestId, client, secure, signal } = exchange
    const { method = '', url = '', rawHeaders } = incoming
    const withBody = method !== 'GET' && method !== 'HEAD' && hasBody(incoming) // of these nobody reads one
    const errand = writeErrand({ front: this.#front, requestId, client, secure, ...(inFull && { inFull }) })
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const asking = request({
      socketPath: this.#socketPath,
      agent: this.#agent,
      method,
      path: url,
      headers: [errandHeader, errand, ...passedOn(rawHeaders, { withBody })],
      maxHeaderSize: maxHeadSize,
    })
    const leave = () => void asking.destroy()
    signal.addEventListener('abort', leave, { once: true })
    asking.once('close', () => signal.removeEventListener('abort', leave))
    asking.on('error', reject)
    asking.once('response', (response) => {
      incoming.unpipe(asking)
      response.on('error', () => {}) // told to whoever reads it
      response.once('end', () => {
        if (!asking.writableEnded) asking.destroy() // answered without all of the request
      })
      resolve(response)
    })
    if (withBody) asking.once('continue', () => incoming.pipe(asking)).flushHeaders()
    else asking.end()
    if (signal.aborted) leave()
    return promise
  }

  [Symbol.dispose](): void {
    this.#agent.destroy()
  }
}
