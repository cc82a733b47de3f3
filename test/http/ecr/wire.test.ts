import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { SignatureV4 } from '@smithy/signature-v4'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Sha256 } from '../../../src/access/sha256.ts'
import { type CisternProcess, startCistern } from '../../support/cistern.ts'
import { firstKey, type TestKey } from '../../support/ecr.ts'

let cistern: CisternProcess
let key: TestKey

beforeAll(async () => {
  cistern = await startCistern({ rules: [] })
  key = await firstKey(cistern)
})
afterAll(() => cistern[Symbol.asyncDispose]())

const json = 'application/x-amz-json-1.1'
const form = 'application/x-www-form-urlencoded; charset=utf-8'
const ecr = (operation: string) => `AmazonEC2ContainerRegistry_V20150921.${operation}`

type Sending = {
  target?: string
  body?: string
  service?: string
  type?: string
  /** What a client sends in place of what it signed. */
  sent?: string
  headers?: Record<string, string>
  signedAgoMs?: number
  signed?: boolean
  secret?: string
}

async function send(sending: Sending) {
  const { target = ecr('DescribeRegistry'), body = '{}', service = 'ecr', type = json, signed = true } = sending
  const { host, hostname, port } = new URL(cistern.url)
  const plain = { host, 'content-type': type, ...(target !== '' && { 'x-amz-target': target }) }
  const signer = new SignatureV4({
    credentials: { accessKeyId: key.accessKeyId, secretAccessKey: sending.secret ?? key.secretAccessKey },
    region: 'us-east-1',
    service,
    sha256: Sha256,
  })
  const signingDate = new Date(Date.now() - (sending.signedAgoMs ?? 0))
  const unsigned = { method: 'POST', protocol: 'http:', hostname, path: '/', headers: plain, body }
  const { headers } = signed ? await signer.sign(unsigned, { signingDate }) : unsigned
  const asking = request({ hostname, port, method: 'POST', path: '/', headers: { ...headers, ...sending.headers } })
  const answered = Promise.withResolvers<import('node:http').IncomingMessage>()
  asking
    .on('response', answered.resolve)
    .on('error', answered.reject)
    .end(sending.sent ?? body)
  const response = await answered.promise
  return { status: response.statusCode, headers: response.headers, text: await text(response) }
}

/** What comes back for bytes of which the rest never comes, until the connection is closed. */
async function exchangeRaw(head: string): Promise<string> {
  const { hostname, port } = new URL(cistern.url)
  const socket = connect(Number(port), hostname)
  socket.write(head)
  return text(socket)
}

const refused = async (sending: Sending) => {
  const { status, headers, text } = await send(sending)
  const { __type, message } = JSON.parse(text)
  expect(headers['x-amzn-errortype']).toBe(__type)
  return { status, type: __type, message }
}

describe('a request', () => {
  it('is answered with an id', async () => {
    const { status, headers, text } = await send({})
    expect([status, headers['content-type']]).toEqual([200, json])
    expect(headers['x-amzn-requestid']).toMatch(/^[\w-]{36}$/)
    expect(JSON.parse(text)).toMatchObject({ registryId: '000000000000' })
  })

  it.each<[string, Sending, string]>([
    ['unsigned', { signed: false }, 'MissingAuthenticationTokenException'],
    ['with a wrong secret', { secret: 'wrong-canary-secret' }, 'InvalidSignatureException'],
    ['with another body than was signed', { sent: '{"a":1}' }, 'InvalidSignatureException'],
    ['with another operation than was signed', { headers: { 'x-amz-target': ecr('X') } }, 'InvalidSignatureException'],
    ['for another service', { service: 'sts' }, 'InvalidSignatureException'],
    ['replayed after five minutes', { signedAgoMs: 301_000 }, 'InvalidSignatureException'],
    [
      'with a login in place of a signature',
      { headers: { authorization: 'Basic QVdTOng=' } },
      'IncompleteSignatureException',
    ],
    ['for what nobody knows', { target: ecr('MakeCoffee') }, 'UnknownOperationException'],
    ['for no service here', { target: 'DynamoDB_20120810.ListTables' }, 'UnknownOperationException'],
    ['for what is no operation', { target: `${ecr('DescribeRegistry')}.x` }, 'UnknownOperationException'],
    ['for an inherited name', { target: ecr('__proto__') }, 'UnknownOperationException'],
    ['that is no JSON', { body: '{"canary' }, 'SerializationException'],
    ['that is no object', { body: '"canary"', target: ecr('DeletePullThroughCacheRule') }, 'SerializationException'],
  ])('%s is refused', async (_what, sending, type) => {
    const answer = await refused(sending)
    expect(answer).toMatchObject({ status: 400, type })
    expect(answer.message).not.toContain('canary')
  })

  it.each([
    ['"111122223333"', 'AccessDeniedException', "but the one with id '000000000000'"],
    ['"canary"', 'InvalidParameterException', "'registryId' failed to satisfy constraint: 'must satisfy regular"],
    ['7', 'SerializationException', "The value at 'registryId'"],
  ])('about another registry is refused: %s', async (registryId, type, message) => {
    const answer = await refused({ target: ecr('ListImages'), body: `{"registryId":${registryId}}` })
    expect(answer).toMatchObject({ status: 400, type, message: expect.stringContaining(message) })
    expect(answer.message).not.toContain('canary')
  })

  it.each(['"000000000000"', 'null'])('about this registry is answered: %s', async (registryId) => {
    const body = `{"registryId":${registryId},"repositoryName":"a/b"}`
    expect(await refused({ target: ecr('ListImages'), body })).toMatchObject({ type: 'RepositoryNotFoundException' })
  })

  it('of more than a MiB is refused, announced or not', async () => {
    const sent = 'x'.repeat(1024 * 1024 + 1)
    expect(await refused({ sent })).toMatchObject({ status: 413, type: 'RequestEntityTooLargeException' })
    const chunked = await refused({ sent, headers: { 'transfer-encoding': 'chunked' } })
    expect(chunked).toMatchObject({ status: 413, type: 'RequestEntityTooLargeException' })
    expect((await send({})).status).toBe(200)
  })
})

it('who has no key is not waited for', async () => {
  const unfinished = { 'content-length': '1000', 'x-amz-target': ecr('DescribeRegistry') }
  const { host } = new URL(cistern.url)
  const credential = 'AWS4-HMAC-SHA256 Credential=AKIANOBODY/20260101/us-east-1/ecr/aws4_request'
  const stranger = `${credential}, SignedHeaders=host, Signature=${'0'.repeat(64)}`
  for (const [authorization, type] of [
    ['', 'MissingAuthenticationTokenException'],
    [stranger, 'UnrecognizedClientException'],
  ]) {
    const lines = Object.entries({ host, authorization, ...unfinished }).map(([name, value]) => `${name}: ${value}`)
    const answer = await exchangeRaw(`POST / HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`)
    expect(answer).toContain(`"__type":"${type}"`)
  }
})

it('who knows the id of a key alone keeps nobody waiting', async () => {
  const { host, hostname, port } = new URL(cistern.url)
  const credential = `AWS4-HMAC-SHA256 Credential=${key.accessKeyId}/20260101/us-east-1/ecr/aws4_request`
  const lines = [
    'POST / HTTP/1.1',
    `Host: ${host}`,
    `X-Amz-Target: ${ecr('DescribeRegistry')}`,
    `Authorization: ${credential}, SignedHeaders=host, Signature=${'0'.repeat(64)}`,
    'Content-Length: 1000',
  ]
  const sockets = await Promise.all(
    Array.from({ length: 600 }, async () => {
      const socket = connect(Number(port), hostname)
      await once(socket, 'connect')
      await new Promise((sent) => socket.write(`${lines.join('\r\n')}\r\n\r\n{`, sent))
      return socket
    }),
  )
  expect((await send({})).status).toBe(200)
  for (const socket of sockets) socket.destroy()
})

describe('GetCallerIdentity', () => {
  const asking = { target: '', service: 'sts', type: form, body: 'Action=GetCallerIdentity&Version=2011-06-15' }

  it('says who signed', async () => {
    const { status, headers, text } = await send(asking)
    expect([status, headers['content-type']]).toEqual([200, 'text/xml; charset=utf-8'])
    expect(text).toContain('<Arn>arn:aws:iam::000000000000:user/admin</Arn>')
    expect(text).toContain('<Account>000000000000</Account>')
  })

  it('is the only action there is, and not for everybody', async () => {
    const other = await send({ ...asking, body: 'Action=AssumeRole&Version=2011-06-15' })
    expect([other.status, other.text]).toEqual([400, expect.stringContaining('<Code>InvalidAction</Code>')])
    const unsigned = await send({ ...asking, signed: false })
    expect(unsigned.text).toContain('<Code>MissingAuthenticationTokenException</Code>')
  })
})
