import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { join } from 'node:path'
import { errors, type JWTPayload, jwtVerify, SignJWT } from 'jose'
import { PrivateFile } from '../files/private-file.ts'
import type { AccessKey } from './access-key.ts'

export type TokenSignerOptions = {
  dataDir: string
  /** Who issues the tokens: those of another registry are refused. */
  registryId: string
  keys: { get(id: string): AccessKey | undefined }
  /** Milliseconds since the epoch. */
  clock?: () => number
}

/** What a token is good for; one for another purpose is as good as none. */
export type TokenPurpose = { audience: string; type: string; lifeSeconds: number }

/** Only a token of ours can be `expired`; all else is `invalid`. */
export type SignedVerdict<T> =
  | { readonly state: 'valid'; readonly key: AccessKey; readonly expiresAt: number; readonly claims: T }
  | { readonly state: 'expired' | 'invalid' }

const keyBytes = 32
/** Stricter than decoders of base64, which pass over blanks. */
const grammar = /^[\w-]{1,2048}\.[\w-]{1,2048}\.[\w-]{43}$/

/**
 * Signs tokens on behalf of access keys. They are signed and verified by the same process, so by HMAC with a key that
 * never leaves the data directory: there is no public key to mistake for it. The algorithm and the key are ours whatever
 * a token's header says.
 */
export class TokenSigner {
  readonly #secret: Uint8Array
  readonly #issuer: string
  readonly #keys: TokenSignerOptions['keys']
  readonly #clock: () => number

  private constructor(secret: Uint8Array, { registryId, keys, clock = Date.now }: TokenSignerOptions) {
    this.#secret = secret
    this.#issuer = `cistern:${registryId}`
    this.#keys = keys
    this.#clock = clock
  }

  /** Makes the signing key where there is none. Throws what the system throws, and for a file that holds no key. */
  static async open(options: TokenSignerOptions): Promise<TokenSigner> {
    const file = new PrivateFile(join(options.dataDir, 'token-key'))
    const known = await file.read()
    if (known && known.length !== keyBytes) throw new Error(`${file.path} does not hold ${keyBytes} bytes`)
    const secret = known ?? randomBytes(keyBytes)
    if (!known) await file.write(secret)
    return new TokenSigner(secret, options)
  }

  /** `expiresAt` is in milliseconds since the epoch. */
  async sign(
    key: AccessKey,
    { audience, type, lifeSeconds }: TokenPurpose,
    claims: JWTPayload = {},
  ): Promise<{ token: string; expiresAt: number }> {
    const expiresAt = Math.floor(this.#clock() / 1000) + lifeSeconds
    const token = await new SignJWT({ ...claims, key: this.#fingerprint(key) })
      .setProtectedHeader({ alg: 'HS256', typ: type })
      .setIssuer(this.#issuer)
      .setAudience(audience)
      .setSubject(key.id)
      .setExpirationTime(expiresAt)
      .sign(this.#secret)
    return { token, expiresAt: expiresAt * 1000 }
  }

  /** `claims` are those that were signed: `required` ones are there. */
  async verify<T extends object>(
    token: string,
    { audience, type }: TokenPurpose,
    required: readonly (keyof T & string)[] = [],
  ): Promise<SignedVerdict<T>> {
    if (!grammar.test(token)) return { state: 'invalid' }
    try {
      const { payload } = await jwtVerify<T & { sub: string; exp: number; key: string }>(token, this.#secret, {
        algorithms: ['HS256'],
        typ: type,
        issuer: this.#issuer,
        audience,
        requiredClaims: ['sub', 'exp', 'key', ...required],
        currentDate: new Date(this.#clock()),
      })
      const key = this.#keys.get(payload.sub)
      if (!key || !isSame(payload.key, this.#fingerprint(key))) return { state: 'invalid' }
      return { state: 'valid', key, expiresAt: payload.exp * 1000, claims: payload }
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
