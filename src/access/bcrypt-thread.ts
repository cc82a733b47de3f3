import { Worker } from 'node:worker_threads'
import { throttled, unavailable } from '../oci/errors.ts'
import type { Compared, Comparison } from './bcrypt-worker.ts'

/** How many comparisons may wait: at the usual cost the last of them waits for some four seconds. */
const maxWaiting = 64

/**
 * Compares passwords on a thread of its own, one at a time: a comparison takes tens of milliseconds, for which the
 * event loop would serve nobody. The thread starts with the first one and holds up no exit. Its owner disposes it.
 */
export class BcryptThread implements AsyncDisposable {
  #worker: Worker | undefined
  readonly #waiting = new Map<number, PromiseWithResolvers<boolean>>()
  #lastId = 0

  /** Throws `throttled` where too many wait already, and `unavailable` where the thread ends meanwhile. */
  async compare(password: string, hash: string): Promise<boolean> {
    if (this.#waiting.size >= maxWaiting) throw throttled('too many logins at once')
    const worker = this.#worker ?? this.#start()
    const comparison: Comparison = { id: ++this.#lastId, password, hash }
    const waiting = Promise.withResolvers<boolean>()
    this.#waiting.set(comparison.id, waiting)
    worker.ref()
    worker.postMessage(comparison)
    return waiting.promise
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker?.terminate()
  }

  #start(): Worker {
    const worker = new Worker(new URL('./bcrypt-worker.ts', import.meta.url), { execArgv: [], env: {} })
    worker.on('message', ({ id, same }: Compared) => {
      this.#waiting.get(id)?.resolve(same)
      this.#waiting.delete(id)
      if (this.#waiting.size === 0) worker.unref()
    })
    worker.on('error', (error) => this.#end(worker, error))
    worker.on('exit', () => this.#end(worker))
    this.#worker = worker
    return worker
  }

  /** Those who wait are told; the next comparison starts another thread. */
  #end(worker: Worker, cause?: unknown): void {
    if (this.#worker !== worker) return
    this.#worker = undefined
    for (const { reject } of this.#waiting.values()) reject(unavailable('passwords cannot be checked', { cause }))
    this.#waiting.clear()
  }
}
