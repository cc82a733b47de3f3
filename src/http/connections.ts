import type { Socket } from 'node:net'
import { networkOf } from '../access/client-limits.ts'
import { publish } from '../telemetry/events.ts'
import { refuse } from './client-error.ts'

/** Refused connections that are told so at a time; beyond that they are closed without a word. */
const maxTold = 256

const tooMany = {
  status: 503,
  reason: 'Service Unavailable',
  code: 'UNAVAILABLE',
  message: 'too many connections of one client',
  retryAfterS: 1,
} as const

/** Keeps one client from taking the connections of all. */
export class Connections {
  readonly #maxPerClient: number
  readonly #tells: boolean
  readonly #open = new Map<string, number>()
  #told = 0

  /** `tells`: whether who is refused can be told so in plain HTTP. */
  constructor(maxPerClient: number, { tells }: { tells: boolean }) {
    this.#maxPerClient = maxPerClient
    this.#tells = tells
  }

  /** Counts a connection until it closes, or refuses it where its client has as many as it may. */
  accept(socket: Socket): void {
    const leave = this.enter(socket)
    if (leave) socket.once('close', leave)
  }

  /** Counts a connection until the function that it returns is called; refuses it, and returns none, as above. */
  enter(socket: Socket): (() => void) | undefined {
    const client = networkOf(socket.remoteAddress)
    const open = this.#open.get(client) ?? 0
    if (open >= this.#maxPerClient) {
      this.#refuse(socket)
      return undefined
    }
    this.#open.set(client, open + 1)
    return () => {
      const left = (this.#open.get(client) ?? 1) - 1
      if (left > 0) this.#open.set(client, left)
      else this.#open.delete(client)
    }
  }

  #refuse(socket: Socket): void {
    if (!this.#tells || this.#told >= maxTold) {
      socket.destroy()
      return
    }
    this.#told++
    socket.once('close', () => this.#told--)
    refuse(socket, tooMany, 'refused')
  }
}

/** There are as many connections as there may be. */
export const publishTooMany = (): void =>
  publish('cistern:fault', { where: 'http', kind: 'throttled', message: 'too many connections: one was closed' })
