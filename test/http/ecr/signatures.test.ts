import { mkdtempDisposable, readFile } from 'node:fs/promises'
import { type IncomingMessage, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { SignatureV4 } from '@smithy/signature-v4'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { Sha256 } from '../../../src/access/sha256.ts'
import { type Instance, openInstance } from '../../../src/commands/instance.ts'
import { loadConfig } from '../../../src/config.ts'

const signedAt = Date.parse('2026-03-14T15:09:26Z')
const fiveMinutesMs = 5 * 60_000
const resources = new AsyncDisposableStack()

let instance: Instance
let credentials: { accessKeyId: string; secretAccessKey: string }

beforeAll(async () => {
  const { path } = resources.use(await mkdtempDisposable(join(tmpdir(), 'cistern-signatures-')))
  const anywhere = ['--listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0', '--data-dir', path]
  instance = resources.adopt(await openInstance(loadConfig(anywhere, {})), (instance) => instance.close())
  const [key] = JSON.parse(await readFile(join(path, 'access-keys.json'), 'utf8')).keys
  credentials = { accessKeyId: key.id, secretAccessKey: key.secret }
})
afterAll(() => resources.disposeAsync())

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'], now: signedAt })
})
afterEach(() => {
  vi.useRealTimers()
})

type Headers = Record<string, string>

const describeRegistry = {
  'content-type': 'application/x-amz-json-1.1',
  'x-amz-target': 'AmazonEC2ContainerRegistry_V20150921.DescribeRegistry',
}

const signer = (more: { sessionToken?: string } = {}) =>
  new SignatureV4({ credentials: { ...credentials, ...more }, region: 'us-east-1', service: 'ecr', sha256: Sha256 })

const unsigned = (headers: Headers = {}, body = '{}') => {
  const { host, hostname } = new URL(instance.url)
  return {
    method: 'POST',
    protocol: 'http:',
    hostname,
    path: '/',
    headers: { host, ...describeRegistry, ...headers },
    body,
  }
}

async function sign(headers: Headers = {}, body = '{}'): Promise<Headers> {
  return (await signer().sign(unsigned(headers, body), { signingDate: new Date() })).headers
}

/** Sends the header lines as they are given, and tells what came of it. */
async function send(lines: Headers | [string, string][], body: string | string[] = '{}', path = '/'): Promise<string> {
  const { hostname, port } = new URL(instance.url)
  const headers = (Array.isArray(lines) ? lines : Object.entries(lines)).flat()
  const answered = Promise.withResolvers<IncomingMessage>()
  const asking = request({ hostname, port, method: 'POST', path, agent: false, headers })
  asking.on('response', answered.resolve).on('error', answered.reject)
  for (const chunk of [body].flat()) asking.write(chunk)
  asking.end()
  const response = await answered.promise
  const { __type, message } = JSON.parse(await text(response))
  return response.statusCode === 200 ? 'accepted' : `${response.statusCode} ${__type}: ${message}`
}

const invalid = (message: string) => expect.stringMatching(new RegExp(`^400 InvalidSignatureException: .*${message}`))
const mismatch = invalid('does not match the signature you provided')
const mismatchOfBody = invalid("'x-amz-content-sha256' header does not match")

describe('a signed request', () => {
  it('is accepted, and again within five minutes', async () => {
    const headers = await sign()
    for (const ageMs of [0, 0, fiveMinutesMs]) {
      vi.setSystemTime(signedAt + ageMs)
      expect(await send(headers)).toBe('accepted')
    }
  })

  it('is refused when it is replayed later', async () => {
    const headers = await sign()
    expect(await send(headers)).toBe('accepted')
    vi.setSystemTime(signedAt + fiveMinutesMs + 1)
    expect(await send(headers)).toEqual(invalid('Signature expired: 20260314T150926Z is now earlier than'))
  })

  it('is refused where it comes from the future, until that is near', async () => {
    vi.setSystemTime(signedAt + fiveMinutesMs + 1000)
    const headers = await sign()
    vi.setSystemTime(signedAt + 999)
    expect(await send(headers)).toEqual(invalid('Signature not yet current: '))
    vi.setSystemTime(signedAt + 1000)
    expect(await send(headers)).toBe('accepted')
  })

  it('cannot be made newer', async () => {
    const headers = await sign()
    vi.setSystemTime(signedAt + fiveMinutesMs + 1000)
    expect(await send({ ...headers, 'x-amz-date': '20260314T151426Z' })).toEqual(mismatch)
  })

  it('may have its body in chunks, if it is the one that was signed', async () => {
    const body = JSON.stringify({ registryId: '000000000000' })
    const { 'content-length': _, ...headers } = await sign({}, body)
    const chunked = { ...headers, 'transfer-encoding': 'chunked' }
    expect(await send(chunked, [...body])).toBe('accepted')
    expect(await send(chunked, [body, ' '])).toEqual(mismatchOfBody)
  })

  it('may have a session token, which nobody looks at', async () => {
    expect(await send({ ...(await sign()), 'x-amz-security-token': 'anything' })).toBe('accepted')
    const request = unsigned()
    const { headers } = await signer({ sessionToken: 'a/b+c==' }).sign(request, { signingDate: new Date() })
    expect(headers['x-amz-security-token']).toBe('a/b+c==')
    expect(await send(headers)).toBe('accepted')
  })
})

describe('a request is refused', () => {
  it.each<[string, Headers, unknown]>([
    ['type', { 'content-type': 'application/json' }, mismatch],
    ['operation', { 'x-amz-target': `${describeRegistry['x-amz-target']}s` }, mismatch],
    ['host', { host: 'cistern.example' }, mismatch],
    ['hash of the body', { 'x-amz-content-sha256': '0'.repeat(64) }, invalid('x-amz-content-sha256')],
  ])('with another %s than was signed', async (_, change, outcome) => {
    expect(await send({ ...(await sign()), ...change })).toEqual(outcome)
  })

  it('with another body than was signed, whether its hash is sent or not', async () => {
    const headers = await sign()
    expect(await send(headers, '{"a":1}')).toEqual(mismatchOfBody)
    const bare = await signer().sign(unsigned(), {
      signingDate: new Date(),
      unsignableHeaders: new Set(['x-amz-content-sha256']),
    })
    const { 'x-amz-content-sha256': _, ...unhashed } = bare.headers
    expect(await send(unhashed)).toBe('accepted')
    expect(await send(unhashed, '{"a":1}')).toEqual(mismatch)
  })

  it.each(['UNSIGNED-PAYLOAD', 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'])(
    'that leaves its body out of the signature: %s',
    async (hash) => {
      expect(await send(await sign({ 'x-amz-content-sha256': hash }))).toEqual(mismatchOfBody)
    },
  )

  it('in the chunks of a streamed signature', async () => {
    const streamed = { 'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD', 'content-encoding': 'aws-chunked' }
    const headers = await sign({ ...streamed, 'x-amz-decoded-content-length': '2' })
    const body = `2;chunk-signature=${'0'.repeat(64)}\r\n{}\r\n0;chunk-signature=${'0'.repeat(64)}\r\n\r\n`
    expect(await send(headers, body)).toEqual(mismatchOfBody)
  })

  it.each(['host', 'x-amz-date', 'x-amz-target'])('whose signature leaves out %s', async (name) => {
    const signing = { signingDate: new Date(), unsignableHeaders: new Set([name]) }
    const { headers } = await signer().sign(unsigned(), signing)
    expect(await send(headers)).toEqual(invalid(`'${name}' must be a 'SignedHeader'`))
  })

  it.each(['x-amz-target', 'x-amz-date', 'x-amz-content-sha256', 'content-type', 'authorization'])(
    'with a second %s, before or behind the signed one',
    async (name) => {
      const lines = Object.entries(await sign())
      const second: [string, string] = [name, 'AmazonEC2ContainerRegistry_V20150921.DeleteRepository']
      for (const hostile of [
        [second, ...lines],
        [...lines, second],
      ]) {
        expect(await send(hostile)).toMatch(/^400 (InvalidSignature|IncompleteSignature|UnknownOperation)Exception: /)
      }
    },
  )

  it('with its signature in the query, alone or beside a header', async () => {
    const presigned = await signer().presign(unsigned(), { signingDate: new Date() })
    const query = new URLSearchParams(
      Object.entries(presigned.query ?? {}).map(([name, value]) => [name, String(value)]),
    )
    const { headers } = unsigned()
    expect(await send(headers, '{}', `/?${query}`)).toMatch(/^400 MissingAuthenticationTokenException: /)
    expect(await send(await sign(), '{}', `/?${query}`)).toEqual(invalid('query string'))
  })
})
