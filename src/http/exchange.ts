import { randomUUID } from 'node:crypto'
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { HttpBindings } from '@hono/node-server'
import { type Events, publish } from '../telemetry/events.ts'
import type { Answer } from './oci/respond.ts'
import type { Permit } from './prepared.ts'
import type { Keep } from './quick.ts'
import type { Sender } from './trusted-proxies.ts'

/** What the parts that answer a request add to its log line. */
export type Facts = Pick<
  Events['cistern:request'],
  'route' | 'repository' | 'reference' | 'upstream' | 'outcome' | 'error' | 'bytes'
>

/** Says of an answer, in headers, what whoever passes it on has to know. */
export type Tell = (answer: Answer) => OutgoingHttpHeaders

/** What hono hands to handlers. */
export type HttpEnv = { Bindings: HttpBindings & { exchange: Exchange } }

/** The client is gone: nobody's fault, and nothing to be told to anybody. */
export class ConnectionClosed extends Error {
  override readonly name = 'ConnectionClosed'
}

/** Said in the log of an answer that nobody was there to receive; what nginx says. */
const clientClosedRequest = 499

/** One request and its answer, until the answer was sent or its connection broke. */
export class Exchange {
  readonly requestId: string
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
  /** How long a client may take for one chunk of a body. */
  readonly writeStallMs: number
  readonly client: string
  /** Whether the client's connection was encrypted. */
  readonly secure: boolean
  /** Who calls, once that is decided. */
  principal: { readonly name: string } | undefined
  /** How long that holds; absent where it has to be decided each time. */
  permit: Permit | undefined
  /** Keeps the answer, where answers are kept. */
  keep: Keep | undefined
  /** What was counted of changes when the answer began to be worked out; absent, when the request came in. */
  changes: number | undefined
  /** Resolves once what this exchange has changed is in force everywhere; absent, it is at once. */
  settle: (() => Promise<void>) | undefined
  /** Absent where the answer goes straight to who asked. */
  tell: Tell | undefined
  /** Whether whoever passes the answer on reads the store by itself. */
  readsStore = false
  /** Completes what is announced; absent, it is complete. */
  complete: (() => Promise<void>) | undefined
  /** Whether the operating system took the whole answer. */
  answered = false
  readonly facts: Facts = { route: 'none', bytes: 0 }
  readonly #gone = new AbortController()
  readonly #startedAt = performance.now()

  constructor(incoming: IncomingMessage, outgoing: ServerResponse, sender: Sender, writeStallMs: number) {
    const { client, secure, requestId = randomUUID() } = sender
    this.requestId = requestId
    this.writeStallMs = writeStallMs
    this.client = client
    this.secure = secure
    this.incoming = incoming
    this.outgoing = outgoing
    outgoing.on('error', () => {}) // told by 'close' too
    outgoing.once('close', () => {
      if (!this.answered) this.#gone.abort(new ConnectionClosed())
    })
  }

  /** Aborted once the connection broke before the answer was complete. */
  get signal(): AbortSignal {
    return this.#gone.signal
  }

  get isHead(): boolean {
    return this.incoming.method === 'HEAD'
  }

  header(name: string): string | undefined {
    const value = this.incoming.headers[name]
    return Array.isArray(value) ? value[0] : value
  }

  /** Breaks the connection: the only way to say that an answer whose headers are out went wrong. */
  breakOff(error: unknown): void {
    if (!(error instanceof ConnectionClosed) && !this.signal.aborted) this.facts.error ??= error
    this.outgoing.destroy()
  }

  /** Announces the exchange once it is over. */
  publishWhenOver(): void {
    this.outgoing.once('close', () => {
      const durationMs = performance.now() - this.#startedAt
      if (this.complete) void this.complete().finally(() => this.#publish(durationMs))
      else this.#publish(durationMs)
    })
  }

  #publish(durationMs: number): void {
    const { incoming, outgoing } = this
    publish('cistern:request', {
      ...this.facts,
      requestId: this.requestId,
      method: incoming.method ?? '',
      status: outgoing.headersSent ? outgoing.statusCode : clientClosedRequest,
      durationMs,
      aborted: !this.answered,
      client: this.client,
      principal: this.principal?.name,
      userAgent: (incoming.headers['user-agent'] ?? '').slice(0, 256),
    })
  }
}
