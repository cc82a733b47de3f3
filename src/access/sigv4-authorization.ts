import { SignatureError } from './signature-error.ts'

/** What the Authorization header of a signed request says; each part has passed its grammar. */
export type Authorization = {
  keyId: string
  /** The day of the scope, YYYYMMDD. */
  date: string
  region: string
  service: string
  /** In lower case, each once. */
  signedHeaders: readonly string[]
  /** 64 hexadecimal digits in lower case. */
  signature: string
}

const algorithm = 'AWS4-HMAC-SHA256'
const maxLength = 4096
const maxSignedHeaders = 64

const grammar = {
  Credential:
    /^(?<keyId>\w{3,128})\/(?<date>\d{8})\/(?<region>[a-z0-9-]{1,64})\/(?<service>[a-z0-9-]{1,64})\/aws4_request$/,
  SignedHeaders: /^[a-z0-9-]+(?:;[a-z0-9-]+)*$/,
  Signature: /^[0-9a-f]{64}$/,
}

/** Throws `SignatureError`. */
export function parseAuthorization(header: string | undefined): Authorization {
  if (!header) throw new SignatureError('MissingAuthenticationTokenException', 'Missing Authentication Token')
  if (header.length > maxLength) throw incomplete('Authorization header is too long.')
  const [scheme, rest = ''] = split(header, ' ')
  if (scheme !== algorithm) throw incomplete(`Authorization header requires the algorithm '${algorithm}'.`)

  const parameters = new Map<string, string>()
  for (const parameter of rest.split(',')) {
    const [name, value = ''] = split(parameter.trim(), '=')
    if (parameters.has(name)) throw incomplete('Authorization header has a parameter more than once.')
    parameters.set(name, value)
  }
  const parts = Object.entries(grammar).map(([name, form]) => {
    const value = parameters.get(name)
    if (value === undefined) throw incomplete(`Authorization header requires '${name}' parameter.`)
    const match = form.exec(value)
    if (!match) throw incomplete(`Authorization header has a malformed '${name}' parameter.`)
    return match
  })
  const [credential, headers, signature] = parts
  const { keyId = '', date = '', region = '', service = '' } = credential?.groups ?? {}
  const signedHeaders = headers?.[0].split(';') ?? []
  if (signedHeaders.length > maxSignedHeaders || new Set(signedHeaders).size < signedHeaders.length) {
    throw incomplete("Authorization header has a malformed 'SignedHeaders' parameter.")
  }
  return { keyId, date, region, service, signedHeaders, signature: signature?.[0] ?? '' }
}

function split(text: string, separator: string): [head: string, tail?: string] {
  const at = text.indexOf(separator)
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + separator.length)]
}

const incomplete = (message: string): SignatureError => new SignatureError('IncompleteSignatureException', message)
