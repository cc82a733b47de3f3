import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { Connections, publishTooMany } from '../http/connections.ts'
import { type Network, TrustedProxies } from '../http/trusted-proxies.ts'
import { publish } from '../telemetry/events.ts'

/** Who serves connections. */
export type Front = {
  /** Hands a connection over. It is the door's still, until the front says that it took it. */
  give(connection: number, socket: Socket): void
}

export type DoorOptions = {
  host: string
  port: number
  maxConnections: number
  maxConnectionsPerClient: number
  trustedProxies: readonly Network[]
  /** Whether who is refused can be told so in plain HTTP. */
  tells: boolean
  /** How long a connection waits while there is nobody to serve it, in milliseconds. */
  waitMs: number
  /** How long one waits that a front has and did not take, in milliseconds: it may have been lost on the way there. */
  takeMs: number
}

type Open = {
  /** As long as no front took it. */
  socket: Socket | undefined
  front: Front | undefined
  /** As long as no front took it: then it is let go. */
  waiting: NodeJS.Timeout | undefined
  leave: () => void
}

/**
 * Accepts connections, within the bounds on all of them, and hands each to the front that has fewest. One that its front
 * did not take before it ended is handed to another; where there is none, it waits.
 */
export class Door {
  readonly #options: DoorOptions
  readonly #server: Server
  readonly #connections: Connections
  readonly #proxies: TrustedProxies
  readonly #fronts = new Map<Front, number>()
  readonly #open = new Map<number, Open>()
  #last = 0

  private constructor(options: DoorOptions) {
    this.#options = options
    this.#connections = new Connections(options.maxConnectionsPerClient, { tells: options.tells })
    this.#proxies = new TrustedProxies(options.trustedProxies)
    this.#server = createServer({ pauseOnConnect: true, noDelay: true }, (socket) => this.#accept(socket))
  }

  /** Throws what the system throws. Its owner closes it. */
  static async open(options: DoorOptions): Promise<Door> {
    const door = new Door(options)
    const { host, port } = options
    door.#server.listen({ host, port })
    await once(door.#server, 'listening')
    door.#server.on('error', (error) => {
      const message = 'a connection could not be accepted'
      publish('cistern:fault', { where: 'http', kind: 'internal', message, error })
    })
    return door
  }

  /** As bound. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** From now on it serves. */
  admit(front: Front): void {
    this.#fronts.set(front, 0)
    for (const [connection, open] of this.#open) if (!open.front) this.#handOver(connection, open)
  }

  /** It serves no more: what it took is over. */
  dismiss(front: Front): void {
    this.#fronts.delete(front)
    for (const [connection, open] of this.#open) {
      if (open.front !== front) continue
      open.front = undefined
      if (open.socket) this.#handOver(connection, open)
      else this.#forget(connection, open)
    }
  }

  /** Its front has it: what is kept of it here goes. */
  took(connection: number): void {
    const open = this.#open.get(connection)
    if (!open) return
    clearTimeout(open.waiting)
    open.socket?.destroy()
    open.socket = undefined
  }

  gone(connection: number): void {
    const open = this.#open.get(connection)
    if (open) this.#forget(connection, open)
  }

  /** Accepts no more. */
  close(): void {
    this.#server.close()
    for (const [connection, open] of this.#open) if (open.socket && !open.front) this.#forget(connection, open)
  }

  #accept(socket: Socket): void {
    socket.on('error', () => {}) // it is the fronts that have to do with it
    if (this.#open.size >= this.#options.maxConnections) {
      socket.destroy()
      publishTooMany()
      return
    }
    const isTrusted = this.#proxies.has(socket.remoteAddress)
    const leave = isTrusted ? () => {} : this.#connections.enter(socket)
    if (!leave) {
      socket.resume() // for what its client says meanwhile to be read
      return
    }
    const connection = ++this.#last
    const open = { socket, front: undefined, waiting: undefined, leave }
    this.#open.set(connection, open)
    this.#handOver(connection, open)
  }

  #handOver(connection: number, open: Open): void {
    if (!open.socket) return
    const [first, ...others] = this.#fronts
    const patienceMs = first ? this.#options.takeMs : this.#options.waitMs
    clearTimeout(open.waiting)
    open.waiting = setTimeout(() => this.gone(connection), patienceMs).unref()
    if (!first) return
    const [front, count] = others.reduce((fewest, other) => (other[1] < fewest[1] ? other : fewest), first)
    this.#fronts.delete(front) // of those with as few, the one that has waited longest comes next
    this.#fronts.set(front, count + 1)
    open.front = front
    front.give(connection, open.socket)
  }

  #forget(connection: number, { socket, front, waiting, leave }: Open): void {
    clearTimeout(waiting)
    this.#open.delete(connection)
    const count = front && this.#fronts.get(front)
    if (front && count !== undefined) this.#fronts.set(front, count - 1)
    socket?.destroy()
    leave()
  }
}
