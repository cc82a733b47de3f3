import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { unavailable } from '../../oci/errors.ts'
import { lengthOf } from '../../oci/range.ts'
import type { Body } from '../../oci/registry.ts'
import type { Exchange } from '../exchange.ts'
import { cacheHeaders } from '../oci/cache-status.ts'
import { respondError } from '../oci/errors.ts'
import { respond, type StoredPart } from '../oci/respond.ts'
import { maxBody } from '../prepared.ts'
import type { QuickAnswers } from '../quick.ts'
import type { Line } from './line.ts'
import type { Postscripts } from './postscripts.ts'
import type { Shelf } from './shelf.ts'
import { milliseconds, readTold, type Told, takeOver, toldHeader } from './told.ts'

export type RelayOptions = {
  line: Pick<Line, 'ask'>
  postscripts: Postscripts
  shelf: Shelf
  /** Remembers who may have which blob of the shelf. */
  permitted: QuickAnswers
}

/** Answers clients with what the owner answers. What is whole in the store is read from there. */
export class Relay {
  readonly #line: RelayOptions['line']
  readonly #postscripts: Postscripts
  readonly #shelf: Shelf
  readonly #permitted: QuickAnswers

  constructor({ line, postscripts, shelf, permitted }: RelayOptions) {
    this.#line = line
    this.#postscripts = postscripts
    this.#shelf = shelf
    this.#permitted = permitted
  }

  readonly answer = async (exchange: Exchange): Promise<void> => {
    if (!(await this.#answerAgain(exchange))) await this.#ask(exchange)
  }

  /** A blob for whom was found to have a right to it a moment ago. */
  async #answerAgain(exchange: Exchange): Promise<boolean> {
    const given = this.#permitted.givenTo(exchange)
    if (!given) return false
    const { answer, principal, outcome } = given
    const { digest, headers, facts } = answer
    const size = Number(headers[headers.indexOf('Content-Length') + 1])
    const body = await this.#shelf.read({ digest, size }, exchange.requestId)
    if (!body) return false
    Object.assign(exchange.facts, facts, { outcome })
    exchange.principal = { name: principal }
    const again = { ...headersOf(headers, exchange), ...cacheHeaders(outcome) }
    await respond(exchange, { status: 200, headers: again, length: size, body })
    return true
  }

  async #ask(exchange: Exchange, { inFull = false } = {}): Promise<void> {
    this.#postscripts.expect(exchange)
    let response: IncomingMessage
    try {
      response = await this.#line.ask(exchange, inFull)
    } catch (cause) {
      const error = unavailable('the process that has the cache does not answer', { cause })
      return void (await respondError(exchange, error))
    }
    response.once('end', () => this.#postscripts.drop(exchange))
    const told = readTold(response)
    if (told) takeOver(exchange, told)
    if (told?.stored) await this.#sendStored(exchange, response, told, told.stored)
    else await this.#passOn(exchange, response, told)
  }

  async #sendStored(exchange: Exchange, response: IncomingMessage, told: Told, part: StoredPart): Promise<void> {
    response.resume()
    const body = await this.#shelf.read(part, exchange.requestId)
    if (!body) return this.#ask(exchange, { inFull: true })
    const length = part.range ? lengthOf(part.range) : part.size
    const headers = headersOf(response.rawHeaders, exchange)
    const keep = part.range ? undefined : this.#permitted.keeper(exchange)
    await respond(exchange, { status: response.statusCode ?? 500, headers, length, body })
    const isWhole = exchange.answered && told.permit !== undefined && told.repeatableMs !== 0
    if (isWhole) keep?.({ ...headers, 'Content-Length': length }, undefined, milliseconds(told.repeatableMs))
  }

  async #passOn(exchange: Exchange, response: IncomingMessage, told: Told | undefined): Promise<void> {
    const { statusCode: status = 500, rawHeaders } = response
    const headers = headersOf(rawHeaders, exchange)
    const declared = response.headers['content-length']
    const length = declared === undefined ? {} : { length: Number(declared) }
    const repeatableMs = told ? milliseconds(told.repeatableMs) : 0
    if (!length.length || exchange.isHead) {
      response.resume()
      return void (await respond(exchange, { status, headers, ...length, repeatableMs }))
    }
    const isKept = repeatableMs > 0 && length.length <= maxBody
    const body = isKept ? await buffer(response) : bodyOf(response)
    await respond(exchange, { status, headers, ...length, body, repeatableMs })
  }
}

/** What the connection decides, or is said anew. */
const notPassedOn = new Set([
  ...['connection', 'keep-alive', 'transfer-encoding', 'content-length', 'date'],
  toldHeader,
])

/** Of names and values in turn, those that do not stand in the answer already. */
function headersOf(raw: readonly string[], { outgoing }: Exchange): OutgoingHttpHeaders {
  const headers: Record<string, string | string[]> = {}
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const [name = '', value = ''] = raw.slice(at, at + 2)
    if (notPassedOn.has(name.toLowerCase()) || outgoing.hasHeader(name)) continue
    const before = headers[name]
    headers[name] = before === undefined ? value : [before, value].flat()
  }
  return headers
}

/** The body of an answer of the owner, at the pace of the sink. */
function bodyOf(response: IncomingMessage): Body {
  return {
    async sendTo(sink, signal) {
      for await (const chunk of response.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        signal?.throwIfAborted()
        await sink.write(chunk)
      }
    },
    async [Symbol.asyncDispose]() {
      if (!response.readableEnded) response.destroy()
    },
  }
}
