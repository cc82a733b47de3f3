import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Worker } from 'node:worker_threads'

const listener = `
  const { parentPort } = require('node:worker_threads')
  const server = require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
    parentPort.postMessage(server.address().port)
    setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0))
  })
`

/** An address of loopback that answers no connection attempt: its queue is full and nobody ever takes from it. */
export class BlackHole implements AsyncDisposable {
  readonly port: number
  readonly #worker: Worker
  readonly #queued: Socket[]

  private constructor(worker: Worker, port: number) {
    this.#worker = worker
    this.port = port
    this.#queued = Array.from({ length: 4 }, () => connect(port, '127.0.0.1').on('error', () => {}))
  }

  static async start(): Promise<BlackHole> {
    const worker = new Worker(listener, { eval: true })
    const [port] = (await once(worker, 'message')) as [number]
    const hole = new BlackHole(worker, port)
    await Promise.all(hole.#queued.slice(0, 2).map((socket) => once(socket, 'connect')))
    return hole
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#queued) socket.destroy()
    await this.#worker.terminate()
  }
}
