import { randomUUID } from 'node:crypto'
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { addressOf } from '../access/client-limits.ts'
import { isDigest } from '../oci/digest.ts'
import type { Outcome } from '../oci/registry.ts'
import { publish } from '../telemetry/events.ts'
import type { Exchange } from './exchange.ts'
import { cacheHeaders } from './oci/cache-status.ts'
import { callerOf, type PreparedAnswer, type PreparedAnswers } from './prepared.ts'
import { UsualHeaders } from './usual-headers.ts'

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

  /** Tells whether it answered. */
  answer(incoming: IncomingMessage, outgoing: ServerResponse): boolean {
    const startedAt = performance.now()
    const { method = '', url = '', socket } = incoming
    if (outgoing.socket !== socket) return false // an answer before this one is under way
    if (method !== 'GET' && method !== 'HEAD') return false
    const now = this.#prepared.now
    const answer = this.#prepared.find(method, url, now)
    const asked = answer && this.#headers.read(incoming.rawHeaders)
    if (!asked) return false
    const client = addressOf(socket.remoteAddress)
    const permit = answer.callers.get(callerOf(client, this.#proves ? asked.authorization : undefined))
    if (!permit || now >= permit.until) return false
    const requestId = randomUUID()
    const outcome: Outcome = { cache: 'hit', ttlMs: answer.freshUntil - now }
    const { headers } = answer
    headers[requestIdAt] = requestId
    headers[cacheStatusAt] = String(cacheHeaders(outcome)['Cache-Status'])
    outgoing.on('error', ignore)
    outgoing.writeHead(200, headers)
    outgoing.end(answer.body, 'latin1')
    publish('cistern:request', {
      ...answer.facts,
      requestId,
      method,
      status: 200,
      bytes: answer.body.length,
      durationMs: performance.now() - startedAt,
      outcome,
      aborted: false,
      client,
      principal: permit.principal,
      userAgent: asked.userAgent,
    })
    return true
  }

  /** What keeps the answer of an exchange that begins, once it turns out to be one to give again. */
  keeper(exchange: Exchange): Keep {
    const { changes } = this.#prepared
    return (headers, body, freshForMs) => {
      const { incoming, permit, facts, client } = exchange
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

/** Where the headers of one request alone stand. */
const requestIdAt = 1
const cacheStatusAt = 3

/** The headers of an answer as it is kept: those of one request alone first. */
function keptHeaders(headers: OutgoingHttpHeaders): string[] {
  const kept = ['X-Request-Id', '', 'Cache-Status', '']
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && !ofOneRequest.has(name.toLowerCase())) kept.push(name, String(value))
  }
  return kept
}

const ofOneRequest = new Set(['x-request-id', 'cache-status'])
