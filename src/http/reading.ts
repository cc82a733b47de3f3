import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { addressOf } from '../access/client-limits.ts'
import type { Asked } from './quick.ts'

type Read = { incoming: IncomingMessage; outgoing: ServerResponse; asked: Asked | undefined }

/** Lines that are not empty, and an empty one: the head of one request, if it is any. */
const oneHead = /^(?:[^\r\n]+\r\n)+\r\n$/

/** How far Node is in reading the requests of a connection. */
export class Reading {
  readonly socket: Socket
  readonly client: string
  /** The requests that Node began to read in the last piece. */
  #requests: Read[] = []
  /** Whether all that Node was given are whole requests. */
  #isBetweenRequests = true

  constructor(socket: Socket) {
    this.socket = socket
    this.client = addressOf(socket.remoteAddress)
  }

  /** Whether what comes next begins a request, and its answer may be sent at once. Never before the first request. */
  get isIdle(): boolean {
    const outgoing = this.#requests[0]?.outgoing
    if (!this.#isBetweenRequests || !outgoing) return false
    return (
      outgoing.writableFinished && outgoing.shouldKeepAlive && this.socket.writable && this.socket.writableLength === 0
    )
  }

  note(read: Read): void {
    this.#requests.push(read)
  }

  /**
   * Has Node read a piece. Where it is a request, from its first byte to its last, and got a prepared answer, returns
   * what it asked. Where it only looks like one, it may be the rest of another one.
   */
  follow(piece: string, parse: () => void): Asked | undefined {
    const wasBetweenRequests = this.#isBetweenRequests
    this.#requests = []
    parse()
    const [read, ...others] = this.#requests
    this.#isBetweenRequests = read?.incoming.complete === true && others.length === 0 && oneHead.test(piece)
    if (!read || !this.#isBetweenRequests || !wasBetweenRequests) return undefined
    const isRepeatable = read.incoming.httpVersion === '1.1' && read.outgoing.shouldKeepAlive
    return isRepeatable ? read.asked : undefined
  }
}
