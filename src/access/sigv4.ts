import { createHash, timingSafeEqual } from 'node:crypto'
import { SignatureV4 } from '@smithy/signature-v4'
import { Sha256 } from './sha256.ts'
import { SignatureError } from './signature-error.ts'
import { type Authorization, parseAuthorization } from './sigv4-authorization.ts'

/** A request as it came in. */
export type RawRequest = {
  method: string
  /** The request target as received: path and query, nothing decoded. */
  target: string
  /** Names and values in turn, as in `rawHeaders` of `node:http`: the Host is what the client sent. */
  headers: readonly string[]
  body: Uint8Array
}

/** What a signature is verified with. */
export type SigningKey = { readonly id: string; readonly secret: string }

export type SignatureOptions<K extends SigningKey> = {
  keys: { get(id: string): K | undefined }
  /** The signing name that the scope must have: `ecr`, `secretsmanager` or `sts`. */
  service: string
  /** The only region that may sign; absent, any may. */
  region?: string
  /** Milliseconds since the epoch. */
  now: number
}

const maxSkewMs = 5 * 60_000

/** These decide what a request means: a second one, or one that is not signed, would let others decide. */
const decisive = ['host', 'x-amz-date', 'x-amz-target'] as const
const single = [...decisive, 'authorization', 'x-amz-content-sha256', 'content-type', 'content-length']

/**
 * Resolves to the key that signed the request with AWS Signature Version 4 in its Authorization header. The request is
 * signed again over the headers that it names itself, and the signatures are compared. Unsigned and streamed payloads
 * and signed queries are refused, since no operation here has them; session tokens count as any other header. Within
 * the five minutes of clock skew a replay is accepted, as AWS does. Throws `SignatureError`.
 *
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */
export async function verifySignature<K extends SigningKey>(
  request: RawRequest,
  { keys, service, region, now }: SignatureOptions<K>,
): Promise<K> {
  const headers = headersOf(request.headers)
  const authorization = parseAuthorization(headers.get('authorization'))
  const date = headers.get('x-amz-date') ?? ''
  checkScope(authorization, { date, service, region })
  checkCoverage(authorization, headers)
  if (request.target.includes('?')) throw mismatch('A request with a query string is not accepted.')

  const key = keys.get(authorization.keyId)
  if (!key)
    throw new SignatureError('UnrecognizedClientException', 'The security token included in the request is invalid.')
  const signedAt = checkDate(date, now)
  const payloadHash = headers.get('x-amz-content-sha256')
  if (payloadHash !== undefined && payloadHash !== createHash('sha256').update(request.body).digest('hex')) {
    throw mismatch("The provided 'x-amz-content-sha256' header does not match what was computed.")
  }
  const signature = await sign(request, { headers, authorization, key, service, signedAt })
  if (!timingSafeEqual(Buffer.from(signature), Buffer.from(authorization.signature))) {
    throw mismatch(
      'The request signature we calculated does not match the signature you provided. ' +
        'Check your AWS Secret Access Key and signing method. Consult the service documentation for details.',
    )
  }
  return key
}

type Headers = ReadonlyMap<string, string>

/** By lower-case name. Repeated headers are joined by commas, as the canonical form has them. */
function headersOf(raw: readonly string[]): Headers {
  const headers = new Map<string, string>()
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = (raw[at] ?? '').toLowerCase()
    const value = (raw[at + 1] ?? '').trim()
    const before = headers.get(name)
    if (before !== undefined && single.includes(name)) throw mismatch(`The header '${name}' is given more than once.`)
    headers.set(name, before === undefined ? value : `${before},${value}`)
  }
  return headers
}

type Scope = { date: string; service: string; region: string | undefined }

function checkScope(authorization: Authorization, { date, service, region }: Scope): void {
  if (authorization.service !== service) throw mismatch(`Credential should be scoped to correct service: '${service}'.`)
  if (region !== undefined && authorization.region !== region) {
    throw mismatch(`Credential should be scoped to a valid region, not '${authorization.region}'.`)
  }
  if (!/^\d{8}T\d{6}Z$/.test(date)) {
    throw new SignatureError(
      'IncompleteSignatureException',
      "The header 'X-Amz-Date' is required, in the form of YYYYMMDD'T'HHMMSS'Z'.",
    )
  }
  if (!date.startsWith(authorization.date)) {
    throw mismatch(
      `Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: ` +
        `'${authorization.date}' != '${date.slice(0, 8)}', from '${date}'.`,
    )
  }
}

function checkCoverage({ signedHeaders }: Authorization, headers: Headers): void {
  const missing = [
    ...decisive.filter((name) => headers.has(name) && !signedHeaders.includes(name)),
    ...signedHeaders.filter((name) => !headers.has(name)),
  ]
  if (!headers.has('host')) missing.push('host')
  if (missing.length > 0) throw mismatch(`'${missing[0]}' must be a 'SignedHeader' and be present in the request.`)
}

/** The instant of `date`. */
function checkDate(date: string, now: number): Date {
  const [, year, month, day, hours, minutes, seconds] = /^(....)(..)(..)T(..)(..)(..)Z$/.exec(date) ?? []
  const signedAt = new Date(`${year}-${month}-${day}T${hours}:${minutes}:${seconds}Z`)
  const off = now - signedAt.getTime()
  const skew = `(${basicDate(now)} ${off > 0 ? '-' : '+'} 5 min.)`
  if (off > maxSkewMs) {
    throw mismatch(`Signature expired: ${date} is now earlier than ${basicDate(now - maxSkewMs)} ${skew}`)
  }
  if (!(off >= -maxSkewMs)) {
    throw mismatch(`Signature not yet current: ${date} is still later than ${basicDate(now + maxSkewMs)} ${skew}`)
  }
  return signedAt
}

const basicDate = (at: number): string => new Date(at).toISOString().replace(/[-:]|\.\d{3}/g, '')

type Signing = {
  headers: Headers
  authorization: Authorization
  key: SigningKey
  service: string
  signedAt: Date
}

async function sign(request: RawRequest, { headers, authorization, key, service, signedAt }: Signing): Promise<string> {
  const { region, signedHeaders } = authorization
  const signer = new SignatureV4({
    credentials: { accessKeyId: key.id, secretAccessKey: key.secret },
    region,
    service,
    sha256: Sha256,
    applyChecksum: false,
  })
  const canonical = {
    method: request.method,
    protocol: 'http:',
    hostname: '',
    path: request.target,
    headers: Object.fromEntries(signedHeaders.map((name) => [name, headers.get(name) ?? ''])),
    body: request.body,
  }
  const signed = await signer.sign(canonical, { signingDate: signedAt, signableHeaders: new Set(signedHeaders) })
  return parseAuthorization(signed.headers.authorization).signature
}

const mismatch = (message: string): SignatureError => new SignatureError('InvalidSignatureException', message)
