import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import type { RawRequest } from '../../src/access/sigv4.ts'

/** A server that keeps each request as it came in, and answers an empty JSON object. */
export class Recorder implements AsyncDisposable {
  readonly requests: RawRequest[] = []
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  static async start(): Promise<Recorder> {
    const server = createServer()
    const recorder = new Recorder(server)
    server.on('request', async (request, response) => {
      const { method = '', url = '', rawHeaders } = request
      recorder.requests.push({ method, target: url, headers: rawHeaders, body: await buffer(request) })
      response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' }).end('{}')
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return recorder
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

export function headerOf({ headers }: RawRequest, name: string): string {
  const at = headers.findIndex((text, index) => index % 2 === 0 && text.toLowerCase() === name.toLowerCase())
  return at < 0 ? '' : (headers[at + 1] ?? '')
}

/** The request with a header of another value, or with none. */
export function withHeader(request: RawRequest, name: string, value: string | undefined): RawRequest {
  const headers: string[] = []
  for (let at = 0; at < request.headers.length; at += 2) {
    const known = request.headers[at] ?? ''
    if (known.toLowerCase() !== name.toLowerCase()) headers.push(known, request.headers[at + 1] ?? '')
  }
  return { ...request, headers: value === undefined ? headers : [...headers, name, value] }
}

/** When the request says that it was signed, in milliseconds since the epoch. */
export function signedAt(request: RawRequest): number {
  const date = headerOf(request, 'x-amz-date')
  return Date.parse(date.replace(/^(....)(..)(..T..)(..)(..Z)$/, '$1-$2-$3:$4:$5'))
}
