import type { IncomingMessage } from 'node:http'
import { Places } from '../../async/places.ts'
import { AwsError } from './errors.ts'

/** Of a request. Nothing that is taken here needs more. */
const maxBytes = 1024 * 1024

/** Of a request that takes no place. Nearly all are shorter, and few connections are worth more than that. */
const maxSmallBytes = 4 * 1024

/** Longer requests that are held at a time, and how many more may wait for that. */
const places = { held: 32, waiting: 512 }

/**
 * Reads the bodies of requests, so that all of them together take little memory. Who sends slowly, or nothing of what
 * was announced, is in nobody's way.
 */
export class Bodies {
  readonly #places = new Places(places.held, places.waiting)

  /**
   * Calls `use` with the whole body. `invite` is called before it is read, for a client that waits to be asked for it.
   * Throws `AwsError` for one that is too long, and where too many are read.
   */
  async with<T>(
    incoming: IncomingMessage,
    signal: AbortSignal,
    use: (body: Buffer) => Promise<T>,
    invite: () => void = () => {},
  ): Promise<T> {
    if (Number(incoming.headers['content-length'] ?? 0) > maxBytes) throw tooLarge()
    invite()
    let leave: (() => void) | undefined
    try {
      const chunks: Buffer[] = []
      let size = 0
      for await (const chunk of incoming.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        size += chunk.length
        if (size > maxBytes) throw tooLarge()
        if (size > maxSmallBytes) leave ??= await this.#place(signal)
        chunks.push(chunk)
      }
      return await use(Buffer.concat(chunks))
    } finally {
      leave?.()
    }
  }

  async #place(signal: AbortSignal): Promise<() => void> {
    const leave = await this.#places.take(signal)
    if (!leave) throw new AwsError('ThrottlingException', 'Rate exceeded')
    return leave
  }
}

const tooLarge = () => new AwsError('RequestEntityTooLargeException', `A request has at most ${maxBytes} bytes`, 413)
