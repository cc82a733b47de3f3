import { connect, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'

export type RawResponse = { status: number; headers: Map<string, string>; body: Buffer; complete: boolean }

/** A connection that sends what it is told to, byte for byte, and reads answers by their Content-Length alone. */
export class RawConnection implements AsyncDisposable {
  readonly socket: Socket
  #received = Buffer.alloc(0)
  #ended = false
  #wake = () => {}

  /** Encrypted where `tls` is given. */
  constructor(port: number, tls?: ConnectionOptions) {
    const place = { host: '127.0.0.1', port }
    this.socket = tls ? connectTls({ ...place, ...tls }) : connect(place)
    this.socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#wake()
    })
    const end = () => {
      this.#ended = true
      this.#wake()
    }
    this.socket
      .on('error', () => {})
      .on('end', end)
      .on('close', end)
  }

  send(text: string | Uint8Array): this {
    this.socket.write(text)
    return this
  }

  get(path: string, ...headers: string[]): this {
    return this.send([`GET ${path} HTTP/1.1`, 'Host: test', ...headers, '', ''].join('\r\n'))
  }

  /** The next answer; what there is of it when the connection ends before it is complete. */
  async response(method = 'GET'): Promise<RawResponse> {
    const end = await this.#until(() => this.#received.indexOf('\r\n\r\n') + 1)
    if (end === 0) throw new Error(`the connection ended without an answer, after ${this.#received.length} bytes`)
    const [start = '', ...lines] = this.#received
      .subarray(0, end - 1)
      .toString('latin1')
      .split('\r\n')
    const headers = new Map(
      lines.map((line) => {
        const at = line.indexOf(':')
        return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()]
      }),
    )
    this.#received = this.#received.subarray(end + 3)
    const status = Number(start.split(' ')[1])
    const length = method === 'HEAD' || status === 304 ? 0 : Number(headers.get('content-length') ?? 0)
    await this.#until(() => this.#received.length >= length)
    const body = this.#received.subarray(0, length)
    this.#received = this.#received.subarray(body.length)
    return { status, headers, body, complete: body.length === length }
  }

  /** What arrives until the connection ends. */
  async rest(): Promise<string> {
    await this.#until(() => this.#ended)
    return this.#received.toString('latin1')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy()
  }

  /** Waits until `check` gives something or the connection has ended. */
  async #until<T>(check: () => T): Promise<T> {
    for (;;) {
      const found = check()
      if (found || this.#ended) return found
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }
}
