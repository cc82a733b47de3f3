import { RegistryError } from '../../oci/errors.ts'
import type { Exchange } from '../exchange.ts'

/** Lists of what others have are long. */
const maxBytes = 64 * 1024 * 1024

/** The JSON that a request has in its body. Throws `invalid`. */
export async function readJson({ incoming }: Exchange): Promise<unknown> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of incoming.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxBytes) throw invalid(`a request has at most ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString())
  } catch {
    throw invalid('the body of the request is JSON')
  }
}

const invalid = (message: string) => new RegistryError('invalid', 'UNSUPPORTED', message)
