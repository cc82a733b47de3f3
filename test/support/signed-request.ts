import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { SignatureV4 } from '@smithy/signature-v4'
import { Sha256 } from '../../src/access/sha256.ts'
import type { TestKey } from './ecr.ts'

export type SignedRequest = { service: string; body: string | Uint8Array; headers: Record<string, string> }

export type Answered = { status: number; headers: IncomingHttpHeaders; text: string }

/** Sends any bytes as a request that is signed right, a few at a time, on connections that it keeps. */
export class SignedRequests implements Disposable {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 8 })
  readonly #signers = new Map<string, SignatureV4>()
  readonly #url: URL
  readonly #key: TestKey

  constructor(url: string, key: TestKey) {
    this.#url = new URL(url)
    this.#key = key
  }

  async send(asked: SignedRequest): Promise<Answered> {
    const response = await this.open(asked)
    return { status: response.statusCode ?? 0, headers: response.headers, text: await text(response) }
  }

  /** Resolves once the headers are there. The body waits; destroying the response breaks the connection. */
  async open({ service, body, headers: plain }: SignedRequest): Promise<IncomingMessage> {
    const { host, hostname, port } = this.#url
    const headers = { host, ...plain }
    const unsigned = { method: 'POST', protocol: 'http:', hostname, path: '/', headers, body }
    const signed = await this.#signerOf(service).sign(unsigned)
    const answered = Promise.withResolvers<IncomingMessage>()
    request({ hostname, port, method: 'POST', path: '/', headers: signed.headers, agent: this.#agent })
      .on('response', answered.resolve)
      .on('error', answered.reject)
      .end(body)
    return answered.promise
  }

  [Symbol.dispose](): void {
    this.#agent.destroy()
  }

  #signerOf(service: string): SignatureV4 {
    const { accessKeyId, secretAccessKey } = this.#key
    const known = this.#signers.get(service)
    const credentials = { accessKeyId, secretAccessKey }
    const signer = known ?? new SignatureV4({ credentials, region: 'us-east-1', service, sha256: Sha256 })
    this.#signers.set(service, signer)
    return signer
  }
}
