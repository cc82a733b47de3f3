import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Digest } from '../../oci/digest.ts'
import type { ByteRange } from '../../oci/range.ts'
import type { Body, Sink } from '../../oci/registry.ts'
import { ConnectionClosed, type Exchange } from '../exchange.ts'
import { dropInput, hasUnreadBody } from '../unread.ts'

export type Answer = {
  status: number
  headers?: OutgoingHttpHeaders
  /** Of the body in bytes; for a HEAD, of the body that a GET would get. Left out where there can be none. */
  length?: number
  /** Owned, and disposed in any event. */
  body?: Uint8Array | Body
  /** In place of a body: which blob it is a range of, or the whole, for whoever passes the answer on to read. */
  stored?: StoredPart
  /** How long the same answer may be given to the same question, in milliseconds; absent, it may not. */
  repeatableMs?: number
}

/** `size` is that of the whole blob, in bytes. */
export type StoredPart = { digest: Digest; size: number; range?: ByteRange }

/** How long headers wait for the first bytes of their body, to travel in one packet with them. */
const headersWaitMs = 10

/**
 * The one function that writes answers. What was declared is sent exactly, or the connection breaks: bytes of one
 * answer never stand inside another, and no answer is complete and wrong. Throws only as long as no header is out.
 */
export async function respond(exchange: Exchange, answer: Answer): Promise<Response> {
  const { status, headers, body, stored, repeatableMs = 0 } = answer
  const length = stored ? 0 : answer.length
  const { incoming, outgoing } = exchange
  try {
    await using _owned = body instanceof Uint8Array ? undefined : body
    if (exchange.settle) await exchange.settle()
    if (outgoing.destroyed) return RESPONSE_ALREADY_SENT
    const unread = hasUnreadBody(incoming)
    outgoing.strictContentLength = true
    const declared = { ...headers, ...(length !== undefined && { 'Content-Length': length }) }
    const standing = outgoing.getHeaders()
    const told = exchange.tell?.(answer)
    outgoing.writeHead(status, { ...declared, ...told, ...(unread && { Connection: 'close' }) })
    if (body && length && !exchange.isHead) await sendBody(exchange, body, length)
    exchange.answered = true
    if (unread) {
      outgoing.flushHeaders()
      await dropInput(incoming)
    }
    outgoing.end()
    const bytes = body instanceof Uint8Array ? body : undefined
    if (repeatableMs > 0 && (bytes || exchange.isHead))
      exchange.keep?.({ ...standing, ...declared }, bytes, repeatableMs)
  } catch (error) {
    if (!outgoing.headersSent) throw error
    exchange.breakOff(error)
  }
  return RESPONSE_ALREADY_SENT
}

export const respondJson = (exchange: Exchange, status: number, value: unknown, headers?: OutgoingHttpHeaders) => {
  const body = Buffer.from(JSON.stringify(value))
  return respond(exchange, {
    status,
    headers: { 'Content-Type': 'application/json', ...headers },
    length: body.byteLength,
    body,
  })
}

async function sendBody(exchange: Exchange, body: Uint8Array | Body, length: number): Promise<void> {
  const sink = new ResponseSink(exchange, length)
  try {
    if (body instanceof Uint8Array) await sink.write(body)
    else await body.sendTo(sink, exchange.signal)
    if (sink.sent !== length) throw new Error(`the body ended after ${sink.sent} of ${length} bytes`)
  } finally {
    sink.close()
    exchange.facts.bytes = sink.sent
  }
}

/**
 * Takes at most `length` bytes to a response. A chunk is taken once the operating system has all of it; a client that
 * keeps one waiting for too long is cut off: chunks bound how slow a client may be.
 */
class ResponseSink implements Sink {
  readonly #outgoing: ServerResponse
  readonly #length: number
  readonly #waiting = new Set<(reason: unknown) => void>()
  readonly #headersTimer: NodeJS.Timeout
  readonly #stallTimer: NodeJS.Timeout
  #sent = 0

  constructor(exchange: Exchange, length: number) {
    const { outgoing, writeStallMs } = exchange
    this.#outgoing = outgoing
    this.#length = length
    this.#headersTimer = setTimeout(() => outgoing.flushHeaders(), headersWaitMs)
    this.#stallTimer = setTimeout(() => {
      if (this.#waiting.size > 0) exchange.breakOff(new Error(`the client was too slow for ${writeStallMs} ms`))
    }, writeStallMs)
    outgoing.once('close', this.#abandon)
  }

  get sent(): number {
    return this.#sent
  }

  write(chunk: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#outgoing.destroyed) throw new ConnectionClosed()
      if (this.#sent + chunk.byteLength > this.#length) throw new Error('the body is longer than declared')
      clearTimeout(this.#headersTimer)
      this.#stallTimer.refresh()
      this.#sent += chunk.byteLength
      this.#waiting.add(reject)
      this.#outgoing.write(chunk, (error) => {
        this.#waiting.delete(reject)
        if (error) reject(new ConnectionClosed(error.message))
        else resolve()
      })
    })
  }

  close(): void {
    clearTimeout(this.#headersTimer)
    clearTimeout(this.#stallTimer)
    this.#outgoing.off('close', this.#abandon)
  }

  /** A response whose socket is gone keeps its chunks and calls nobody back. */
  readonly #abandon = () => {
    for (const reject of this.#waiting) reject(new ConnectionClosed())
    this.#waiting.clear()
  }
}
