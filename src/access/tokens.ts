import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { join } from 'node:path'
import { errors, jwtVerify, SignJWT } from 'jose'
import { PrivateFile } from '../files/private-file.ts'
import type { AccessKey } from './access-key.ts'

export type TokensOptions = {
  dataDir: string
  /** Who issues the tokens: those of another registry are refused. */
  registryId: string
  keys: { get(id: string): AccessKey | undefined }
  /** Milliseconds since the epoch. */
  clock?: () => number
}

export type Token = {
  /** Of the user `AWS`. Holds no colon, at which the AWS CLI splits. */
  password: string
  /** As GetAuthorizationToken gives it: base64 of user and password. */
  authorizationToken: string
  /** In milliseconds since the epoch. */
  expiresAt: number
}

/** What a password of the user `AWS` turned out to be. Only a token of ours can be `expired`; all else is `invalid`. */
export type TokenVerdict =
  | { readonly state: 'valid'; readonly key: AccessKey; readonly expiresAt: number }
  | { readonly state: 'expired' | 'invalid' }

/** The user of all tokens. */
export const tokenUser = 'AWS'

const lifeSeconds = 12 * 60 * 60
const keyBytes = 32
/** Stricter than decoders of base64, which pass over blanks. */
const grammar = /^[\w-]{1,2048}\.[\w-]{1,2048}\.[\w-]{43}$/
const audience = 'registry'
const type = 'cistern-login+jwt'

/**
 * Passwords for `docker login`, each on behalf of one access key for twelve hours. They are signed and verified by the
 * same process, so by HMAC with a key that never leaves the data directory: there is no public key to mistake for it.
 * The algorithm and the key are ours whatever a token's header says.
 */
export class Tokens {
  readonly #secret: Uint8Array
  readonly #issuer: string
  readonly #keys: TokensOptions['keys']
  readonly #clock: () => number

  private constructor(secret: Uint8Array, { registryId, keys, clock = Date.now }: TokensOptions) {
    this.#secret = secret
    this.#issuer = `cistern:${registryId}`
    this.#keys = keys
    this.#clock = clock
  }

  /** Makes the signing key where there is none. Throws what the system throws, and for a file that holds no key. */
  static async open(options: TokensOptions): Promise<Tokens> {
    const file = new PrivateFile(join(options.dataDir, 'token-key'))
    const known = await file.read()
    if (known && known.length !== keyBytes) throw new Error(`${file.path} does not hold ${keyBytes} bytes`)
    const secret = known ?? randomBytes(keyBytes)
    if (!known) await file.write(secret)
    return new Tokens(secret, options)
  }

  async issue(key: AccessKey): Promise<Token> {
    const expiresAt = Math.floor(this.#clock() / 1000) + lifeSeconds
    const password = await new SignJWT({ key: this.#fingerprint(key) })
      .setProtectedHeader({ alg: 'HS256', typ: type })
      .setIssuer(this.#issuer)
      .setAudience(audience)
      .setSubject(key.id)
      .setExpirationTime(expiresAt)
      .sign(this.#secret)
    const authorizationToken = Buffer.from(`${tokenUser}:${password}`).toString('base64')
    return { password, authorizationToken, expiresAt: expiresAt * 1000 }
  }

  async verify(password: string): Promise<TokenVerdict> {
    if (!grammar.test(password)) return { state: 'invalid' }
    try {
      const { payload } = await jwtVerify<{ sub: string; exp: number; key: string }>(password, this.#secret, {
        algorithms: ['HS256'],
        typ: type,
        issuer: this.#issuer,
        audience,
        requiredClaims: ['sub', 'exp', 'key'],
        currentDate: new Date(this.#clock()),
      })
      const key = this.#keys.get(payload.sub)
      if (!key || !isSame(payload.key, this.#fingerprint(key))) return { state: 'invalid' }
      return { state: 'valid', key, expiresAt: payload.exp * 1000 }
    } catch (error) {
      if (error instanceof errors.JWTExpired) return { state: 'expired' }
      if (error instanceof errors.JOSEError) return { state: 'invalid' }
      throw error
    }
  }

  /** Binds a token to the secret of its key: one that is made anew under the same id does not revive old tokens. */
  #fingerprint({ id, secret }: AccessKey): string {
    return createHmac('sha256', this.#secret).update(`access-key\0${id}\0${secret}`).digest('base64url')
  }
}

function isSame(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}
