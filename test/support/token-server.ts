import { createHash, createPublicKey, randomUUID, sign } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { run } from './process.ts'
import { requireTool } from './tools.ts'

type Account = { username: string; password: string }
type Access = { type: 'repository'; name: string; actions: string[] }

/**
 * Issues tokens that a docker-registry accepts which trusts `certificateFile`. Only the account gets any.
 *
 * https://distribution.github.io/distribution/spec/auth/jwt/
 */
export class TokenServer implements AsyncDisposable {
  static readonly issuer = 'cistern-tests'
  static readonly service = 'registry-under-test'

  readonly certificateFile: string
  /** The scopes that were asked for, granted or not. */
  readonly scopes: string[] = []
  readonly #key: string
  readonly #account: Account
  readonly #server: Server

  private constructor(key: string, certificateFile: string, account: Account) {
    this.#key = key
    this.certificateFile = certificateFile
    this.#account = account
    this.#server = createServer((request, response) => {
      const query = new URL(request.url ?? '', 'http://token').searchParams
      const scope = query.get('scope') ?? ''
      this.scopes.push(scope)
      const known = request.headers.authorization === basic(account)
      response.writeHead(known ? 200 : 401, { 'content-type': 'application/json' })
      response.end(JSON.stringify(known ? { token: this.issue(scope), expires_in: 300 } : { details: 'who are you' }))
    })
  }

  /** Keeps its key and certificate in `directory`. */
  static async start(directory: string, account: Account): Promise<TokenServer> {
    const keyFile = join(directory, 'token.key')
    const certificateFile = join(directory, 'token.crt')
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', keyFile]
    const certificate = ['-x509', '-days', '2', '-subj', `/CN=${TokenServer.issuer}`, '-out', certificateFile]
    await run(requireTool('openssl'), ['req', ...certificate, ...key])
    const server = new TokenServer(await readFile(keyFile, 'utf8'), certificateFile, account)
    server.#server.listen(0, '127.0.0.1')
    await once(server.#server, 'listening')
    return server
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  get realm(): string {
    return `${this.origin}/token`
  }

  get account(): Account {
    return this.#account
  }

  /** A token for a scope of the form `repository:name:actions`. */
  issue(scope: string): string {
    const [type, name, actions] = scope.split(':')
    const access: Access[] =
      type === 'repository' && name && actions ? [{ type, name, actions: actions.split(',') }] : []
    const now = Math.floor(Date.now() / 1000)
    const header = { typ: 'JWT', alg: 'ES256', kid: keyId(this.#key) }
    const times = { nbf: now - 10, iat: now, exp: now + 300 }
    const claims = {
      iss: TokenServer.issuer,
      aud: TokenServer.service,
      sub: 'tests',
      jti: randomUUID(),
      ...times,
      access,
    }
    const signed = `${base64url(header)}.${base64url(claims)}`
    const signature = sign('sha256', Buffer.from(signed), { key: this.#key, dsaEncoding: 'ieee-p1363' })
    return `${signed}.${signature.toString('base64url')}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}

export const basic = ({ username, password }: Account): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`

const base64url = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** The fingerprint by which docker-registry knows a key: 240 bits of its hash, in groups of four letters. */
function keyId(key: string): string {
  const der = createPublicKey(key).export({ type: 'spki', format: 'der' })
  const bits = [...createHash('sha256').update(der).digest().subarray(0, 30)].map((byte) =>
    byte.toString(2).padStart(8, '0'),
  )
  const letters = bits
    .join('')
    .replace(/.{5}/g, (five) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'[Number.parseInt(five, 2)] ?? '')
  return letters.replace(/.{4}(?=.)/g, '$&:')
}
