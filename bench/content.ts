import { createCipheriv, createHash } from 'node:crypto'
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { makeImage } from '../test/support/images.ts'
import { pushImage } from '../test/support/push.ts'

export const repository = 'bench/image'

export const blobPath = (digest: string): string => `/v2/${repository}/blobs/${digest}`

export const manifestPath = (reference: string): string => `/v2/${repository}/manifests/${reference}`

/** An image of four small layers, under the tag `v1`. Resolves to the digest of its manifest. */
export async function pushSmallImage(upstream: string): Promise<string> {
  const image = makeImage({ seed: 'bench', layers: 4, layerSize: 1024 })
  await pushImage({ url: upstream }, repository, 'v1', image)
  return image.digest
}

/** Pushes bytes that nobody can compress, the same for the same seed, without holding them. Resolves to their digest. */
export async function pushNoise(upstream: string, seed: string, size: number): Promise<string> {
  const begun = await send('POST', `${upstream}/v2/${repository}/blobs/uploads/`)
  const hash = createHash('sha256')
  const patched = await send('PATCH', location(begun, upstream), { size, body: Readable.from(noise(seed, size, hash)) })
  const digest = `sha256:${hash.digest('hex')}`
  const finish = new URL(location(patched, upstream))
  finish.searchParams.set('digest', digest)
  await send('PUT', finish.href)
  return digest
}

const chunkSize = 1024 * 1024

function* noise(seed: string, size: number, hash: { update(bytes: Buffer): unknown }): Generator<Buffer> {
  const cipher = createCipheriv('aes-256-ctr', createHash('sha256').update(seed).digest(), Buffer.alloc(16))
  const zeros = Buffer.alloc(chunkSize)
  for (let left = size; left > 0; left -= chunkSize) {
    const bytes = cipher.update(zeros.subarray(0, Math.min(left, chunkSize)))
    hash.update(bytes)
    yield bytes
  }
}

async function send(method: string, url: string, content?: { size: number; body: Readable }): Promise<IncomingMessage> {
  const headers = { 'content-length': content?.size ?? 0, 'content-type': 'application/octet-stream' }
  const outgoing = request(url, { method, headers })
  const [[response]] = await Promise.all([
    once(outgoing, 'response') as Promise<[IncomingMessage]>,
    pipeline(content?.body ?? Readable.from([]), outgoing),
  ])
  const answer = await text(response)
  if ((response.statusCode ?? 500) >= 300) throw new Error(`${method} ${url}: ${response.statusCode} ${answer}`)
  return response
}

const location = ({ headers }: IncomingMessage, base: string): string => new URL(headers.location ?? '', base).href
