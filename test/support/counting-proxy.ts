import { once } from 'node:events'
import { createServer, request as forward, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream/promises'

export type SeenRequest = { method: string; path: string; range: string | undefined; authorization: string | undefined }

/** Stands in front of a registry and counts what it is asked. Requests go on unchanged, Host included. */
export class CountingProxy implements AsyncDisposable {
  readonly #target: string
  readonly #server: Server
  #port = 0
  #seen: SeenRequest[] = []

  private constructor(target: string) {
    this.#target = target
    this.#server = createServer((request, response) => this.#serve(request, response))
  }

  /** `target` is an origin. */
  static async start(target: string): Promise<CountingProxy> {
    const proxy = new CountingProxy(target)
    await proxy.switchOn()
    return proxy
  }

  get host(): string {
    return `127.0.0.1:${this.#port}`
  }

  get url(): string {
    return `http://${this.host}`
  }

  /** Since the start or the last `forget`, in order of arrival. */
  get seen(): readonly SeenRequest[] {
    return this.#seen
  }

  /** How many requests had this method and a path that matches. */
  count(method: string, path: RegExp = /^/): number {
    return this.#seen.filter((request) => request.method === method && path.test(request.path)).length
  }

  forget(): void {
    this.#seen = []
  }

  /** From now on connections are refused, and those there are break. */
  async switchOff(): Promise<void> {
    if (!this.#server.listening) return
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }

  /** At the same address as before. */
  async switchOn(): Promise<void> {
    this.#server.listen(this.#port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.#port = (this.#server.address() as AddressInfo).port
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.switchOff()
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const { method = '', url = '', headers } = request
    this.#seen.push({ method, path: url, range: headers.range, authorization: headers.authorization })
    const outgoing = forward(new URL(url, this.#target), { method, headers })
    const fail = () => response.destroy()
    outgoing.on('response', (incoming) => {
      response.writeHead(incoming.statusCode ?? 502, incoming.headers)
      pipeline(incoming, response).catch(fail)
    })
    outgoing.on('error', fail)
    pipeline(request, outgoing).catch(fail)
  }
}
