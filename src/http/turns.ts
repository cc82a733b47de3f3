import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

/** Requests that may wait on one connection. No client of registries sends any before it has the answer to the last. */
const maxWaiting = 16

/**
 * Has the requests of a connection answered one after the other, so that work under way is bounded by connections.
 * Node itself hands on whatever a client sent ahead at once, however much that is. A client that sends too much ahead
 * loses its connection: nothing can be said to it inside an answer.
 */
export class Turns {
  readonly #waiting = new WeakMap<Duplex, (() => void)[]>()

  /** Calls `answer` once it is this request's turn; never where its connection ends before. */
  take({ socket }: IncomingMessage, outgoing: ServerResponse, answer: () => void): void {
    if (socket.destroyed) return
    const waiting = this.#waiting.get(socket)
    const begin = () => {
      outgoing.once('close', () => this.#next(socket))
      answer()
    }
    if (!waiting) {
      this.#waiting.set(socket, [])
      begin()
    } else if (waiting.length < maxWaiting) {
      waiting.push(begin)
    } else {
      socket.destroy()
    }
  }

  /** Whether an answer is under way on a connection. */
  answering(socket: Duplex): boolean {
    return this.#waiting.has(socket)
  }

  #next(socket: Socket): void {
    const begin = socket.writable ? this.#waiting.get(socket)?.shift() : undefined
    if (begin) begin()
    else this.#waiting.delete(socket)
  }
}
