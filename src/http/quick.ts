import { randomUUID } from 'node:crypto'
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { addressOf } from '../access/client-limits.ts'
import { isDigest } from '../oci/digest.ts'
import type { Outcome } from '../oci/registry.ts'
import { publish } from '../telemetry/events.ts'
import type { Exchange } from './exchange.ts'
import { cacheHeaders } from './oci/cache-status.ts'
import { callerOf, keyOf, type PreparedAnswer, type PreparedAnswers } from './prepared.ts'
import { type Usual, UsualHeaders } from './usual-headers.ts'

/** What a request asked that is nothing out of the ordinary. */
export type Asked = Usual & { readonly method: string; readonly key: string }

/** A prepared answer, as it is given to one request. */
export type Given = {
  readonly asked: Asked
  readonly answer: PreparedAnswer
  readonly client: string
  readonly principal: string
  readonly outcome: Outcome
  readonly requestId: string
  /** On the clock of `performance.now()`. */
  readonly startedAt: number
}

export type QuickOptions = {
  prepared: PreparedAnswers
  /** Whether callers prove who they are; otherwise nobody looks at what they send along. */
  proves: boolean
}

/**
 * Gives prepared answers: one look-up, no wait, no question to anybody. Whatever is out of the ordinary about a request
 * has it go the whole way.
 */
export class QuickAnswers {
  readonly #prepared: PreparedAnswers
  readonly #proves: boolean
  readonly #headers = new UsualHeaders()

  constructor({ prepared, proves }: QuickOptions) {
    this.#prepared = prepared
    this.#proves = proves
  }

  /** Answers a request, and tells what it asked; `undefined` where it did not. */
  answer(incoming: IncomingMessage, outgoing: ServerResponse): Asked | undefined {
    const startedAt = performance.now()
    const { method = '', url = '', socket } = incoming
    if (outgoing.socket !== socket) return undefined // an answer before this one is under way
    if (method !== 'GET' && method !== 'HEAD') return undefined
    const key = keyOf(method, url)
    const usual = this.#prepared.has(key) ? this.#headers.read(incoming.rawHeaders) : undefined
    if (!usual) return undefined
    const asked = { method, key, ...usual }
    const given = this.find(asked, addressOf(socket.remoteAddress), startedAt)
    if (!given) return undefined
    outgoing.on('error', ignore)
    outgoing.writeHead(200, [...ownHeaders(given), ...given.answer.headers])
    outgoing.end(given.answer.body, 'latin1')
    this.announce(given)
    return asked
  }

  /** The answer to a request of this moment. Whoever sends it announces it. */
  find(asked: Asked, client: string, startedAt = performance.now()): Given | undefined {
    const { now } = this.#prepared
    const answer = this.#prepared.find(asked.key, now)
    const permit = answer?.callers.get(callerOf(client, this.#proves ? asked.authorization : undefined))
    if (!answer || !permit || now >= permit.until) return undefined
    const outcome: Outcome = { cache: 'hit', ttlMs: answer.freshUntil - now }
    return { asked, answer, client, principal: permit.principal, outcome, requestId: randomUUID(), startedAt }
  }

  /** The answer that an exchange may be given, for others to give it. */
  givenTo({ incoming, client }: Exchange): Given | undefined {
    const { method = '', url = '', rawHeaders } = incoming
    if (method !== 'GET' && method !== 'HEAD') return undefined
    const key = keyOf(method, url)
    const usual = this.#prepared.has(key) ? this.#headers.read(rawHeaders) : undefined
    return usual && this.find({ method, key, ...usual }, client)
  }

  announce({ asked, answer, client, principal, outcome, requestId, startedAt }: Given): void {
    publish('cistern:request', {
      ...answer.facts,
      requestId,
      method: asked.method,
      status: 200,
      bytes: answer.body.length,
      durationMs: performance.now() - startedAt,
      outcome,
      aborted: false,
      client,
      principal,
      userAgent: asked.userAgent,
    })
  }

  /** What keeps the answer of an exchange that begins, once it turns out to be one to give again. */
  keeper(exchange: Exchange): Keep {
    const countedBefore = this.#prepared.changes
    return (headers, body, freshForMs) => {
      const { incoming, permit, facts, client, changes = countedBefore } = exchange
      const { method = '', url: target = '' } = incoming
      const asked = this.#headers.read(incoming.rawHeaders)
      const digest = String(headers['Docker-Content-Digest'])
      if (!permit || !asked || !isDigest(digest)) return
      const caller = callerOf(client, this.#proves ? asked.authorization : undefined)
      this.#prepared.keep(
        { method, target, caller, permit, changes },
        {
          facts: lineFacts(facts),
          digest,
          headers: keptHeaders(headers),
          body,
          freshUntil: this.#prepared.now + freshForMs,
        },
      )
    }
  }
}

const lineFacts = ({ route, repository, reference, upstream }: Exchange['facts']): PreparedAnswer['facts'] => ({
  route,
  ...(repository !== undefined && { repository }),
  ...(reference !== undefined && { reference }),
  ...(upstream !== undefined && { upstream }),
})

/** Takes an answer with its headers, its body where it has one, and how long it stays fresh, in milliseconds. */
export type Keep = (headers: OutgoingHttpHeaders, body: Uint8Array | undefined, freshForMs: number) => void

/** A connection that breaks does so with a whole answer on its way. */
const ignore = () => {}

/** The headers that are those of one request alone, name and value in turn. */
export const ownHeaders = ({ requestId, outcome }: Given): string[] => [
  'X-Request-Id',
  requestId,
  'Cache-Status',
  String(cacheHeaders(outcome)['Cache-Status']),
]

const ofOneRequest = new Set(['x-request-id', 'cache-status'])

/** All others. */
const keptHeaders = (headers: OutgoingHttpHeaders): string[] =>
  Object.entries(headers).flatMap(([name, value]) =>
    value === undefined || ofOneRequest.has(name.toLowerCase()) ? [] : [name, String(value)],
  )
