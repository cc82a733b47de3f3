import type { Socket } from 'node:net'
import type { PreparedAnswer } from './prepared.ts'
import { type Given, ownHeaders } from './quick.ts'

/** Writes prepared answers on connections, to the byte as Node does. */
export class Wire {
  readonly #keepAlive: string
  /** The headers of an answer that do not change, as lines. */
  readonly #lines = new WeakMap<PreparedAnswer, string>()
  readonly #clock: () => number
  #second = Number.NaN
  #date = ''

  /** `clock` is in milliseconds since the epoch. */
  constructor(keepAliveTimeoutMs: number, clock: () => number = Date.now) {
    this.#clock = clock
    this.#keepAlive = `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(keepAliveTimeoutMs / 1000)}\r\n\r\n`
  }

  send(socket: Socket, given: Given): void {
    const { body } = given.answer
    const head = this.#headOf(given)
    if (typeof body === 'string') return void socket.write(head + body, 'latin1')
    socket.cork()
    socket.write(head, 'latin1')
    socket.write(body)
    socket.uncork()
  }

  #headOf(given: Given): string {
    return `HTTP/1.1 200 OK\r\n${linesOf(ownHeaders(given))}${this.#linesOf(given.answer)}${this.#dateLine()}${this.#keepAlive}`
  }

  #linesOf(answer: PreparedAnswer): string {
    const known = this.#lines.get(answer)
    if (known !== undefined) return known
    const lines = linesOf(answer.headers)
    this.#lines.set(answer, lines)
    return lines
  }

  #dateLine(): string {
    const now = this.#clock()
    const second = Math.floor(now / 1000)
    if (second !== this.#second) this.#date = `Date: ${new Date(now).toUTCString()}\r\n`
    this.#second = second
    return this.#date
  }
}

/** Of names and values in turn, which Node found to be fit for headers when it sent them. */
function linesOf(headers: readonly string[]): string {
  let lines = ''
  for (let at = 0; at + 1 < headers.length; at += 2) lines += `${headers[at]}: ${headers[at + 1]}\r\n`
  return lines
}
