import { connect, type Socket } from 'node:net'

export type Answer = { status: number; bytes: number; firstByteAt: number; endedAt: number }

export type Question = { method?: 'GET' | 'HEAD'; path: string; headers?: Record<string, string> }

type Pending = PromiseWithResolvers<Answer> & { isHead: boolean }

const idleMs = 60_000

/** Servers here send less of a head than this. */
const maxHead = 64 * 1024

/**
 * An HTTP/1.1 connection for one question at a time, that counts bodies and throws them away. It costs little and
 * allocates no memory for bodies, so that the load generator is the limit as seldom as can be. Instants are those of
 * `performance.now()`.
 */
export class Connection implements Disposable {
  readonly #socket: Socket
  readonly #host: string
  #pending: Pending | undefined
  #head = ''
  #status = 0
  #length = 0
  #left = -1
  #firstByteAt = 0
  #allowed = Number.POSITIVE_INFINITY

  private constructor(socket: Socket, host: string) {
    this.#socket = socket
    this.#host = host
  }

  /** All connections of a process read into the same buffer: what is in it is looked at before the next read. */
  static open(origin: string, buffer: Buffer): Promise<Connection> {
    const { host, hostname, port } = new URL(origin)
    const opened = Promise.withResolvers<Connection>()
    const callback = (size: number): boolean => {
      connection.#receive(buffer, size)
      return connection.received < connection.#allowed
    }
    const socket = connect({ host: hostname, port: Number(port), noDelay: true, onread: { buffer, callback } })
    const connection = new Connection(socket, host)
    const fail = (error: Error) => {
      opened.reject(error)
      connection.#fail(error)
    }
    socket.on('connect', () => opened.resolve(connection))
    socket.on('error', fail)
    socket.on('close', () => fail(new Error('the connection was closed')))
    socket.setTimeout(idleMs, () => socket.destroy(new Error('the server is silent')))
    return opened.promise
  }

  /** Rejects where the answer is not whole. */
  ask({ method = 'GET', path, headers = {} }: Question): Promise<Answer> {
    if (this.#pending) throw new Error('a question is pending')
    if (this.#socket.destroyed) return Promise.reject(new Error('the connection was closed'))
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    this.#pending = { ...Promise.withResolvers<Answer>(), isHead: method === 'HEAD' }
    this.#head = ''
    this.#left = -1
    this.#socket.write(`${method} ${path} HTTP/1.1\r\nHost: ${this.#host}\r\n${lines.join('')}\r\n`, 'latin1')
    return this.#pending.promise
  }

  /** Reads no further once so much of the body has come, or one buffer more. */
  readUpTo(bytes: number): void {
    this.#allowed = bytes
    if (this.received < bytes) this.#socket.resume()
  }

  /** Of the body of the pending answer, up to now. */
  get received(): number {
    return this.#left < 0 ? 0 : this.#length - this.#left
  }

  [Symbol.dispose](): void {
    this.#socket.destroy()
  }

  #receive(buffer: Buffer, size: number): void {
    if (this.#left >= 0) this.#receiveBody(size)
    else this.#receiveHead(buffer, size)
  }

  #receiveHead(buffer: Buffer, size: number): void {
    const before = this.#head.length
    this.#head += buffer.toString('latin1', 0, Math.min(size, maxHead))
    const end = this.#head.indexOf('\r\n\r\n')
    if (end < 0) {
      if (this.#head.length > maxHead) this.#socket.destroy(new Error('a head has no end'))
      return
    }
    this.#status = Number(this.#head.slice(9, 12))
    const length = /\r\ncontent-length: *(\d+)/i.exec(this.#head)?.[1]
    if (length === undefined) {
      this.#socket.destroy(new Error('an answer does not declare its length'))
      return
    }
    this.#length = this.#pending?.isHead ? 0 : Number(length)
    this.#left = this.#length
    this.#firstByteAt = 0
    this.#receiveBody(size - (end + 4 - before))
  }

  #receiveBody(size: number): void {
    if (size > 0 && this.#firstByteAt === 0) this.#firstByteAt = performance.now()
    this.#left -= size
    if (this.#left < 0) this.#socket.destroy(new Error('more came than was declared'))
    if (this.#left !== 0) return
    const pending = this.#pending
    this.#pending = undefined
    const endedAt = performance.now()
    const firstByteAt = this.#firstByteAt || endedAt
    pending?.resolve({ status: this.#status, bytes: this.#length, firstByteAt, endedAt })
  }

  #fail(error: Error): void {
    this.#pending?.reject(error)
    this.#pending = undefined
  }
}
