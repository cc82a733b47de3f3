import { execFile } from 'node:child_process'
import { createHash, createHmac } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { CreatePullThroughCacheRuleCommand, ECRClient, ListImagesCommand } from '@aws-sdk/client-ecr'
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SignatureError } from '../../src/access/signature-error.ts'
import { type RawRequest, verifySignature } from '../../src/access/sigv4.ts'
import { cacheDirectory } from '../support/paths.ts'
import { headerOf, Recorder, signedAt, withHeader } from './captured.ts'

const key = { id: 'AKIAIOSFODNN7EXAMPLE', secret: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' }
const keys = new Map([[key.id, key]])
const credentials = { accessKeyId: key.id, secretAccessKey: key.secret }
const minuteMs = 60_000

const verify = (
  request: RawRequest,
  more: { now?: number; service?: string; region?: string; keys?: typeof keys } = {},
) => verifySignature(request, { keys, service: 'ecr', now: signedAt(request), ...more })

const refusal = (name: string, message: string | RegExp = '') =>
  expect.objectContaining({ name, message: expect.stringMatching(message) })

const mismatch = refusal('InvalidSignatureException', /does not match the signature you provided/)

/** As botocore 1.43 signs it, with its clock at 2026-03-14T15:09:26Z. */
const botocore: RawRequest = {
  method: 'POST',
  target: '/',
  headers: [
    ...['Host', '127.0.0.1:5000', 'X-Amz-Target', 'AmazonEC2ContainerRegistry_V20150921.ListImages'],
    ...['Content-Type', 'application/x-amz-json-1.1', 'X-Amz-Date', '20260314T150926Z'],
    'Authorization',
    'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260314/eu-central-1/ecr/aws4_request, ' +
      'SignedHeaders=content-type;host;x-amz-date;x-amz-target, ' +
      'Signature=3aea0fe345584bdc14d5f697ccd46367280d1d155b8c8baaf1ebfd53b321f622',
    ...['Content-Length', '44'],
  ],
  body: Buffer.from('{"repositoryName":"docker.io/library/nginx"}'),
}

/** Signs by hand, so that requests no client would send can be had too. */
function signed(
  headers: Record<string, string>,
  { body = '{}', target = '/', signedHeaders = Object.keys(headers).sort(), payloadHash = sha256(body) } = {},
): RawRequest {
  const all: Record<string, string> = { host: 'cistern.test', 'x-amz-date': '20260314T150926Z', ...headers }
  const names = [...new Set(['host', 'x-amz-date', ...signedHeaders])].sort()
  return signedExactly(all, names, { body, target, payloadHash })
}

function signedExactly(
  headers: Record<string, string>,
  names: string[],
  { body = '{}', target = '/', payloadHash = sha256(body) } = {},
): RawRequest {
  const date = headers['x-amz-date'] ?? '20260314T150926Z'
  const scope = `${date.slice(0, 8)}/us-east-1/ecr/aws4_request`
  const [path = '', query = ''] = target.split('?')
  const lines = names.map((name) => `${name}:${headers[name]}`)
  const canonical = ['POST', path, query, ...lines, '', names.join(';'), payloadHash].join('\n')
  const signingKey = scope.split('/').reduce<string | Buffer>((secret, part) => hmac(secret, part), `AWS4${key.secret}`)
  const signature = hmac(signingKey, ['AWS4-HMAC-SHA256', date, scope, sha256(canonical)].join('\n')).toString('hex')
  const authorization = `AWS4-HMAC-SHA256 Credential=${key.id}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`
  return {
    method: 'POST',
    target,
    headers: Object.entries({ ...headers, authorization }).flat(),
    body: Buffer.from(body),
  }
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
const hmac = (secret: string | Buffer, text: string) => createHmac('sha256', secret).update(text).digest()

describe('the signature of a real client', () => {
  it.each([
    ['ecr', (endpoint: string) => new ECRClient({ endpoint, region: 'eu-west-1', credentials })],
    [
      'ecr with a session token',
      (endpoint: string) =>
        new ECRClient({ endpoint, region: 'us-east-1', credentials: { ...credentials, sessionToken: 'a/b+c==' } }),
    ],
  ])('is accepted: %s', async (_, clientOf) => {
    await using recorder = await Recorder.start()
    const client = clientOf(recorder.url)
    await client.send(new ListImagesCommand({ repositoryName: 'docker.io/library/nginx' }))
    await client.send(new CreatePullThroughCacheRuleCommand({ ecrRepositoryPrefix: 'é', upstreamRegistryUrl: 'x' }))
    client.destroy()

    expect(recorder.requests).toHaveLength(2)
    for (const request of recorder.requests) await expect(verify(request)).resolves.toBe(key)
  })

  it('is accepted for Secrets Manager under its own name only', async () => {
    await using recorder = await Recorder.start()
    const client = new SecretsManagerClient({ endpoint: recorder.url, region: 'us-east-1', credentials })
    await client.send(new CreateSecretCommand({ Name: 'ecr-pullthroughcache/hub', SecretString: '{}' }))
    client.destroy()
    const [request] = recorder.requests
    if (!request) throw new Error('nothing came')

    await expect(verify(request, { service: 'secretsmanager' })).resolves.toBe(key)
    await expect(verify(request)).rejects.toEqual(refusal('InvalidSignatureException', "correct service: 'ecr'"))
  })

  it('is accepted from botocore, which signs four headers and no hash of the body', async () => {
    await expect(verify(botocore)).resolves.toBe(key)
    await expect(verify(botocore, { region: 'eu-central-1' })).resolves.toBe(key)
  })

  const aws = join(cacheDirectory, 'awscli', 'bin', 'aws')
  if (existsSync(aws)) {
    it('is accepted from the AWS CLI', async () => {
      await using recorder = await Recorder.start()
      await promisify(execFile)(
        aws,
        ['ecr', 'describe-repositories', '--endpoint-url', recorder.url, '--region', 'us-east-1'],
        {
          env: {
            PATH: process.env.PATH,
            AWS_ACCESS_KEY_ID: key.id,
            AWS_SECRET_ACCESS_KEY: key.secret,
            AWS_CONFIG_FILE: '/dev/null',
            AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
          },
        },
      )
      const [request] = recorder.requests
      if (!request) throw new Error('nothing came')
      await expect(verify(request)).resolves.toBe(key)
    })
  }
})

describe('a tampered request', () => {
  it.each<[string, RawRequest]>([
    ['body', { ...botocore, body: Buffer.from('{"repositoryName":"docker.io/library/nginy"}') }],
    ['empty body', { ...botocore, body: new Uint8Array() }],
    ['method', { ...botocore, method: 'PUT' }],
    ['path', { ...botocore, target: '/v2/' }],
    ['operation', withHeader(botocore, 'x-amz-target', 'AmazonEC2ContainerRegistry_V20150921.DeleteRepository')],
    ['host', withHeader(botocore, 'host', '127.0.0.1:5001')],
    ['type', withHeader(botocore, 'content-type', 'application/json')],
    ['second', withHeader(botocore, 'x-amz-date', '20260314T150927Z')],
    ['region', edited(botocore, 'eu-central-1', 'us-east-1')],
    ['last digit', edited(botocore, /2$/, '3')],
  ])('is refused: another %s', async (_, request) => {
    await expect(verify(request)).rejects.toEqual(mismatch)
  })

  it('is refused with the secret of another key', async () => {
    await expect(verify(botocore, { keys: new Map([[key.id, { ...key, secret: 'x'.repeat(40) }]]) })).rejects.toEqual(
      mismatch,
    )
  })

  it('is refused with an unknown key, before and after its removal alike', async () => {
    const unknown = refusal('UnrecognizedClientException', 'The security token included in the request is invalid.')
    await expect(verify(edited(botocore, 'AKIAIOSFODNN7EXAMPLE', 'AKIANOBODY'))).rejects.toEqual(unknown)
    await expect(verify(botocore, { keys: new Map() })).rejects.toEqual(unknown)
  })

  it.each(['host', 'x-amz-date', 'x-amz-target', 'authorization', 'content-type', 'content-length'])(
    'is refused with a second %s',
    async (name) => {
      const request = { ...botocore, headers: [...botocore.headers, name.toUpperCase(), headerOf(botocore, name)] }
      await expect(verify(request)).rejects.toEqual(refusal('InvalidSignatureException', 'more than once'))
    },
  )

  it('is refused with a query, signed or not', async () => {
    const request = signed({ 'x-amz-target': 'x' }, { target: '/?a=1' })
    for (const hostile of [request, { ...botocore, target: '/?X-Amz-Signature=x' }, { ...botocore, target: '/?' }]) {
      await expect(verify(hostile)).rejects.toEqual(refusal('InvalidSignatureException', 'query string'))
    }
  })
})

describe('time', () => {
  const at = signedAt(botocore)

  it.each([0, 5 * minuteMs, -5 * minuteMs])('lets a request of %i ms ago pass, again and again', async (ageMs) => {
    await verify(botocore, { now: at + ageMs })
    await expect(verify(botocore, { now: at + ageMs })).resolves.toBe(key)
  })

  it('refuses a replay after five minutes', async () => {
    await expect(verify(botocore, { now: at + 5 * minuteMs + 1 })).rejects.toEqual(
      refusal(
        'InvalidSignatureException',
        /^Signature expired: 20260314T150926Z is now earlier than 20260314T150926Z \(20260314T151426Z - 5 min\.\)$/,
      ),
    )
  })

  it('refuses a request from the future', async () => {
    await expect(verify(botocore, { now: at - 5 * minuteMs - 1 })).rejects.toEqual(
      refusal('InvalidSignatureException', /^Signature not yet current: .*\+ 5 min/),
    )
  })

  it('refuses a scope of another day, and dates that are none', async () => {
    const other = edited(botocore, '/20260314/', '/20260313/')
    await expect(verify(other)).rejects.toEqual(refusal('InvalidSignatureException', "'20260313' != '20260314'"))
    const never = edited(withHeader(botocore, 'x-amz-date', '20261399T996199Z'), '/20260314/', '/20261399/')
    await expect(verify(never, { now: at })).rejects.toEqual(refusal('InvalidSignatureException'))
    for (const date of ['', '2026-03-14T15:09:26Z', '20260314', undefined]) {
      await expect(verify(withHeader(botocore, 'x-amz-date', date), { now: at })).rejects.toEqual(
        refusal('IncompleteSignatureException', 'X-Amz-Date'),
      )
    }
  })
})

describe('what must be signed', () => {
  it('is the host, the date and the operation', async () => {
    const headers = { host: 'cistern.test', 'x-amz-date': '20260314T150926Z', 'x-amz-target': 'x' }
    await expect(verify(signedExactly(headers, Object.keys(headers)))).resolves.toBe(key)
    for (const name of Object.keys(headers)) {
      const rest = Object.keys(headers).filter((other) => other !== name)
      const uncovered = refusal('InvalidSignatureException', `'${name}' must be a 'SignedHeader'`)
      await expect(verify(signedExactly(headers, rest))).rejects.toEqual(uncovered)
    }
  })

  it('is not what the request lacks', async () => {
    await expect(verify(withHeader(botocore, 'content-type', undefined))).rejects.toEqual(
      refusal('InvalidSignatureException', "'content-type' must be a 'SignedHeader' and be present"),
    )
    await expect(verify(signedExactly({ 'x-amz-date': '20260314T150926Z' }, ['x-amz-date']))).rejects.toEqual(
      refusal('InvalidSignatureException', "'host'"),
    )
  })

  it('may be any header a client chooses, with its blanks folded', async () => {
    await expect(verify(signed({ 'user-agent': 'x', connection: 'close', te: 'trailers' }))).resolves.toBe(key)
    const folded = signed({ 'x-note': 'a b' })
    await expect(verify(withHeader(folded, 'x-note', '  a   b '))).resolves.toBe(key)
    await expect(verify(withHeader(folded, 'x-note', 'ab'))).rejects.toEqual(mismatch)
  })
})

describe('the hash of the body', () => {
  it.each([
    'UNSIGNED-PAYLOAD',
    'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
    'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
    '',
    sha256('x'),
  ])('is refused where it is "%s", though signed', async (payloadHash) => {
    const request = signed({ 'x-amz-content-sha256': payloadHash }, { payloadHash })
    await expect(verify(request)).rejects.toEqual(refusal('InvalidSignatureException', 'x-amz-content-sha256'))
  })

  it('is looked at where it is not signed, too', async () => {
    await expect(verify(withHeader(botocore, 'x-amz-content-sha256', sha256('x')))).rejects.toEqual(
      refusal('InvalidSignatureException', 'x-amz-content-sha256'),
    )
    const right = createHash('sha256').update(botocore.body).digest('hex')
    await expect(verify(withHeader(botocore, 'x-amz-content-sha256', right))).resolves.toBe(key)
  })

  it('is that of the bytes, however they were cut into chunks on the way', async () => {
    await using recorder = await Recorder.start()
    const original = signed({ 'x-amz-target': 'x', host: new URL(recorder.url).host })
    const headers = new Headers()
    for (const name of ['x-amz-target', 'x-amz-date', 'authorization']) headers.set(name, headerOf(original, name))
    const body = ReadableStream.from([Buffer.from('{'), Buffer.from('}')])
    await fetch(recorder.url, { method: 'POST', headers, body, duplex: 'half' })
    const [request] = recorder.requests
    if (!request) throw new Error('nothing came')

    expect(headerOf(request, 'transfer-encoding')).toBe('chunked')
    await expect(verify(request)).resolves.toBe(key)
  })
})

describe('the Authorization header', () => {
  const complete = headerOf(botocore, 'authorization')

  it.each([
    ['no header', undefined, 'MissingAuthenticationTokenException', 'Missing Authentication Token'],
    ['an empty one', '', 'MissingAuthenticationTokenException', 'Missing Authentication Token'],
    ['Basic', 'Basic QVdTOng=', 'IncompleteSignatureException', 'algorithm'],
    ['another algorithm', complete.replace('SHA256', 'SHA1'), 'IncompleteSignatureException', 'algorithm'],
    ['the algorithm alone', 'AWS4-HMAC-SHA256', 'IncompleteSignatureException', "'Credential'"],
    [
      'no signed headers',
      complete.replace(/SignedHeaders=[^,]*, /, ''),
      'IncompleteSignatureException',
      'SignedHeaders',
    ],
    ['no signature', complete.replace(/, Signature.*/, ''), 'IncompleteSignatureException', "'Signature'"],
    ['a short signature', complete.slice(0, -1), 'IncompleteSignatureException', "'Signature'"],
    [
      'a signature in capitals',
      complete.replace(/[0-9a-f]+$/, (hex) => hex.toUpperCase()),
      'IncompleteSignatureException',
      "'Signature'",
    ],
    ['two signatures', `${complete}, Signature=${'0'.repeat(64)}`, 'IncompleteSignatureException', 'more than once'],
    [
      'two equal names',
      complete.replace('=content-type;', '=host;content-type;'),
      'IncompleteSignatureException',
      'SignedHeaders',
    ],
    ['another terminator', complete.replace('aws4_request', 'aws4'), 'IncompleteSignatureException', 'Credential'],
    ['a key id with a slash', complete.replace('AKIA', 'A/A'), 'IncompleteSignatureException', 'Credential'],
    [
      'a name of the prototype',
      complete.replace('=content-type', '=__proto__'),
      'IncompleteSignatureException',
      'SignedHeaders',
    ],
    ['an oversized one', `${complete}, x=${'y'.repeat(4096)}`, 'IncompleteSignatureException', 'too long'],
    [
      'too many headers',
      complete.replace('=content-type', `=${Array.from({ length: 61 }, (_, at) => `x${at}`).join(';')};content-type`),
      'IncompleteSignatureException',
      'SignedHeaders',
    ],
  ])('is refused: %s', async (_, value, name, message) => {
    await expect(verify(withHeader(botocore, 'authorization', value))).rejects.toEqual(refusal(name, message))
  })

  it('may have its parameters without blanks', async () => {
    await expect(verify(withHeader(botocore, 'authorization', complete.replaceAll(', ', ',')))).resolves.toBe(key)
  })

  it('must be of the one region where only one may sign', async () => {
    await expect(verify(botocore, { region: 'us-east-1' })).rejects.toEqual(
      refusal('InvalidSignatureException', "valid region, not 'eu-central-1'"),
    )
  })

  it('is never more than refused, whatever it says', async () => {
    const anything = fc.oneof(
      fc.string(),
      fc
        .tuple(fc.nat(complete.length), fc.string())
        .map(([at, text]) => complete.slice(0, at) + text + complete.slice(at)),
    )
    await fc.assert(
      fc.asyncProperty(anything, fc.string(), async (authorization, host) => {
        const request = withHeader(withHeader(botocore, 'host', host), 'authorization', authorization)
        const outcome = await verify(request).catch((error: unknown) => error)
        expect(outcome === key ? host.trim() === '127.0.0.1:5000' : outcome instanceof SignatureError).toBe(true)
      }),
    )
  })

  it('is refused without a word of the secret or of what was sent', async () => {
    const hostile = withHeader(botocore, 'authorization', complete.replace('Signature=', 'Signature=<canary>'))
    const error = await verify(hostile).catch((error: unknown) => error)
    expect(String(error)).not.toMatch(/canary|wJalr/)
  })
})

function edited(request: RawRequest, from: string | RegExp, to: string): RawRequest {
  return withHeader(request, 'authorization', headerOf(request, 'authorization').replace(from, to))
}
