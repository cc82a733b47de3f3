import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'

export type Got = {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
  /** Whether all came that was declared, in good order. */
  complete: boolean
}

export type Asking = {
  method?: string
  headers?: Record<string, string>
  body?: string
  /** The address of loopback to come from. */
  from?: string
  signal?: AbortSignal
}

/** Asks on a connection of its own and keeps what there is of an answer whose connection breaks. */
export async function ask(url: string, asking: Asking = {}): Promise<Got> {
  const response = await open(url, asking)
  const chunks: Buffer[] = []
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk)
  } catch {
    // told by `complete`
  }
  const { statusCode: status = 0, headers, complete } = response
  return { status, headers, body: Buffer.concat(chunks), complete }
}

/** Resolves once the headers are there. The body waits; destroying the response breaks the connection. */
export function open(url: string, { from, body, ...options }: Asking = {}): Promise<IncomingMessage> {
  const opened = Promise.withResolvers<IncomingMessage>()
  const agent = new Agent({ keepAlive: false })
  request(url, { ...options, agent, ...(from && { localAddress: from }) }, opened.resolve)
    .on('error', opened.reject)
    .end(body)
  return opened.promise
}

/** Waits until `count` bytes of the body came, and takes no more. Rejects where it ends before that. */
export async function take(response: IncomingMessage, count: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for (;;) {
    const chunk: Buffer | null = response.read()
    if (chunk) {
      chunks.push(chunk)
      size += chunk.length
    } else {
      if (response.readableEnded) throw new Error(`the body ended after ${size} bytes`)
      const woken = new AbortController()
      const { signal } = woken
      await Promise.race([once(response, 'readable', { signal }), once(response, 'end', { signal })])
      woken.abort()
    }
    if (size >= count) return Buffer.concat(chunks)
  }
}

export const digestOfBytes = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

/** The code of an error in the form of the specification; a body of another form has none. */
export function codeOf({ body, headers }: Got): string | undefined {
  if (headers['content-type'] !== 'application/json') return undefined
  const { errors } = JSON.parse(body.toString()) as { errors?: { code: string }[] }
  return errors?.[0]?.code
}

/** What of an answer most tests look at. */
export const told = (got: Got) => ({ status: got.status, code: codeOf(got) })
