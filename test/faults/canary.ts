import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'

/** A port that nobody may ever connect to. */
export class Canary implements AsyncDisposable {
  connections = 0
  readonly #server: Server

  private constructor() {
    this.#server = createServer((socket) => {
      this.connections++
      socket.on('error', () => {}).destroy()
    })
  }

  static async start(): Promise<Canary> {
    const canary = new Canary()
    canary.#server.listen(0, '127.0.0.1')
    await once(canary.#server, 'listening')
    return canary
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise((resolve) => this.#server.close(resolve))
  }
}
