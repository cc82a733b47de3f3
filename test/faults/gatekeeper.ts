import { once } from 'node:events'
import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A proxy for plain HTTP that lets one account through, to one port of loopback, wherever it asks to go. */
export class Gatekeeper implements AsyncDisposable {
  readonly #server: Server

  private constructor(account: string, port: string) {
    this.#server = createServer(({ method, url, headers }, response) => {
      const { 'proxy-authorization': shown, ...rest } = headers
      if (shown !== account) return void response.writeHead(407).end()
      const { pathname, search } = new URL(url ?? '')
      request({ host: '127.0.0.1', port, method, path: pathname + search, headers: rest }, (answer) => {
        answer.pipe(response.writeHead(answer.statusCode ?? 502, answer.headers))
      })
        .on('error', () => response.writeHead(502).end())
        .end()
    })
  }

  static async start(username: string, password: string, port: string): Promise<Gatekeeper> {
    const account = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
    const gatekeeper = new Gatekeeper(account, port)
    gatekeeper.#server.listen(0, '127.0.0.1')
    await once(gatekeeper.#server, 'listening')
    return gatekeeper
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close().closeAllConnections()
  }
}
