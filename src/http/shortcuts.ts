import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Asked, QuickAnswers } from './quick.ts'
import { Reading } from './reading.ts'
import { Wire } from './wire.ts'

/** Clients ask for the same in few spellings. In characters, and how many are remembered. */
const longestHead = 2048
const maxRemembered = 4096

/** The largest body that is sent past Node: the system takes so much at once, and no drain breaks it off. */
const largestBody = 16 * 1024

export type ShortcutsOptions = {
  /** Whether connections are kept; where they are not, Node says so in its answers. */
  isOpen: () => boolean
  keepAliveTimeoutMs: number
}

type Parse = (chunk: Buffer) => void

/**
 * Knows again the heads of requests that Node read before, and that were given prepared answers: between two requests
 * the same bytes mean the same. So nobody reads them again, and Node makes no objects of them, which is half of what
 * such an answer costs. Whatever is not known to the byte is Node's to read.
 */
export class Shortcuts {
  readonly #quick: QuickAnswers
  readonly #isOpen: () => boolean
  readonly #wire: Wire
  readonly #heads = new Map<string, Asked>()
  readonly #readings = new WeakMap<Socket, Reading>()

  constructor(quick: QuickAnswers, { isOpen, keepAliveTimeoutMs }: ShortcutsOptions) {
    this.#quick = quick
    this.#isOpen = isOpen
    this.#wire = new Wire(keepAliveTimeoutMs)
  }

  /** Stands before Node's parser on a connection that Node listens to already. */
  accept(socket: Socket): void {
    const [parse, ...others] = socket.listeners('data') as Parse[]
    if (!parse || others.length > 0) return // a Node that reads in another way: it reads all
    const reading = new Reading(socket)
    this.#readings.set(socket, reading)
    socket.off('data', parse)
    socket.on('data', (chunk: Buffer) => this.#receive(reading, chunk, parse))
  }

  /** Node read a request. `asked` is what it asked where that was answered from what is prepared. */
  note(incoming: IncomingMessage, outgoing: ServerResponse, asked: Asked | undefined): void {
    this.#readings.get(incoming.socket)?.note({ incoming, outgoing, asked })
  }

  #receive(reading: Reading, chunk: Buffer, parse: Parse): void {
    const text = chunk.length <= longestHead ? chunk.toString('latin1') : ''
    const known = reading.isIdle && this.#isOpen() ? this.#heads.get(text) : undefined
    if (known && this.#answer(known, reading)) return
    const asked = reading.follow(text, () => parse.call(reading.socket, chunk))
    if (asked) this.#remember(text, asked)
  }

  #answer(asked: Asked, { socket, client }: Reading): boolean {
    const given = this.#quick.find(asked, client)
    if (!given || given.answer.body.length > largestBody) return false
    this.#wire.send(socket, given)
    this.#quick.announce(given)
    return true
  }

  #remember(head: string, asked: Asked): void {
    const [oldest] = this.#heads.keys()
    if (this.#heads.size >= maxRemembered && oldest !== undefined) this.#heads.delete(oldest)
    this.#heads.set(head, asked)
  }
}
