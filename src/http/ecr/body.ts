import type { IncomingMessage } from 'node:http'
import { Places } from '../../async/places.ts'
import { AwsError } from './errors.ts'

/** Of a request. Nothing that is taken here needs more. */
const maxBytes = 1024 * 1024

/** Requests whose bodies are held at a time, and how many more may wait for that. */
const places = { held: 32, waiting: 512 }

/** Reads the bodies of requests, so that all of them together take little memory. */
export class Bodies {
  readonly #places = new Places(places.held, places.waiting)

  /** Calls `use` with the whole body. Throws `AwsError` for one that is too long, and where too many are read. */
  async with<T>(incoming: IncomingMessage, signal: AbortSignal, use: (body: Buffer) => Promise<T>): Promise<T> {
    if (Number(incoming.headers['content-length'] ?? 0) > maxBytes) throw tooLarge()
    const leave = await this.#places.take(signal)
    if (!leave) throw new AwsError('ThrottlingException', 'Rate exceeded')
    try {
      return await use(await read(incoming))
    } finally {
      leave()
    }
  }
}

async function read(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of incoming.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxBytes) throw tooLarge()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

const tooLarge = () => new AwsError('RequestEntityTooLargeException', `A request has at most ${maxBytes} bytes`, 413)
