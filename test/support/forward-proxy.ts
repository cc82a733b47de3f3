import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'

export type ForwardProxySettings = {
  /** Who is let through; absent, everybody. */
  account?: { username: string; password: string }
  /** Speaks TLS itself, by this key and certificate in PEM. */
  tls?: { key: string; cert: string }
  /** Ports of loopback that names lead to; all other names lead to loopback too, at the port that is asked for. */
  ports?: Record<string, string>
}

/** A proxy by CONNECT and by absolute URLs, which looks names up by itself: all of them are on this machine. */
export class ForwardProxy implements AsyncDisposable {
  /** What it was asked for, `CONNECT name:port` or `GET http://…`, also where it refused. */
  readonly asked: string[] = []
  /** In the place of serving: a status, or silence. */
  misbehaviour: number | 'silent' | undefined
  account: ForwardProxySettings['account'] | undefined
  readonly #settings: ForwardProxySettings
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(settings: ForwardProxySettings) {
    this.#settings = settings
    this.account = settings.account
    const forward = (asking: IncomingMessage, answer: ServerResponse) => this.#forward(asking, answer)
    this.#server = settings.tls ? createTlsServer(settings.tls, forward) : createServer(forward)
    this.#server.on('connect', (asking: IncomingMessage, socket: Socket) => this.#tunnel(asking, socket))
    this.#server.on('connection', (socket: Socket) => this.#keep(socket))
  }

  static async start(settings: ForwardProxySettings = {}): Promise<ForwardProxy> {
    const proxy = new ForwardProxy(settings)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    return `${this.#settings.tls ? 'https' : 'http'}://127.0.0.1:${this.port}`
  }

  /** Connections that are open, to it and from it. */
  get open(): number {
    return this.#sockets.size
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  /** The status to refuse with, if it does. */
  #refusal({ method, url = '', headers }: IncomingMessage): number | 'silent' | undefined {
    this.asked.push(`${method} ${url}`)
    if (this.misbehaviour !== undefined) return this.misbehaviour
    if (!this.account) return undefined
    const { username, password } = this.account
    const right = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
    return headers['proxy-authorization'] === right ? undefined : 407
  }

  #tunnel(asking: IncomingMessage, socket: Socket): void {
    const refusal = this.#refusal(asking)
    if (refusal === 'silent') return void socket.resume().once('end', () => socket.destroy())
    if (refusal !== undefined) return void socket.end(`HTTP/1.1 ${refusal} No\r\nContent-Length: 0\r\n\r\n`)
    const { hostname, port } = new URL(`http://${asking.url}`)
    const onward = this.#keep(connect(Number(this.#portOf(hostname, port)), '127.0.0.1'))
    onward.once('connect', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      socket.pipe(onward).pipe(socket)
    })
    onward.once('close', () => socket.destroy())
    socket.once('close', () => onward.destroy())
  }

  #forward(asking: IncomingMessage, answer: ServerResponse): void {
    const refusal = this.#refusal(asking)
    if (refusal === 'silent') return
    if (refusal !== undefined) return void answer.writeHead(refusal).end()
    const { hostname, port, pathname, search } = new URL(asking.url ?? '')
    const { 'proxy-authorization': _, ...headers } = asking.headers
    const target = { host: '127.0.0.1', port: this.#portOf(hostname, port), path: pathname + search }
    const onward = request({ ...target, method: asking.method, headers }, (answered) => {
      answered.on('error', () => answer.destroy())
      answered.pipe(answer.writeHead(answered.statusCode ?? 502, answered.headers))
    })
    asking.pipe(onward.on('error', () => answer.writeHead(502).end()))
  }

  #portOf(hostname: string, port: string): string {
    return this.#settings.ports?.[hostname] ?? port
  }

  #keep(socket: Socket): Socket {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    return socket.on('error', () => {})
  }
}
