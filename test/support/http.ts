import { createHash } from 'node:crypto'
import { Agent, get, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { buffer } from 'node:stream/consumers'

export type Fetched = { status: number; headers: IncomingHttpHeaders; digest: string; size: number }

/** GETs on a connection of its own and hashes the body as it comes. Rejects where it breaks off. */
export async function fetchDigest(url: string, headers: Record<string, string> = {}): Promise<Fetched> {
  const response = await open(url, headers)
  const hash = createHash('sha256')
  let size = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    hash.update(chunk)
    size += chunk.length
  }
  return { status: response.statusCode ?? 0, headers: response.headers, digest: `sha256:${hash.digest('hex')}`, size }
}

export async function fetchBytes(url: string, headers: Record<string, string> = {}) {
  const response = await open(url, headers)
  return { status: response.statusCode ?? 0, headers: response.headers, bytes: await buffer(response) }
}

function open(url: string, headers: Record<string, string>) {
  const opened = Promise.withResolvers<IncomingMessage>()
  get(url, { headers, agent: new Agent({ keepAlive: false }) }, opened.resolve).on('error', opened.reject)
  return opened.promise
}
