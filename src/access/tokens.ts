import type { AccessKey } from './access-key.ts'
import { TokenSigner, type TokenSignerOptions } from './token-signer.ts'

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

const login = { audience: 'registry', type: 'cistern-login+jwt', lifeSeconds: 12 * 60 * 60 }

/** Passwords for `docker login`, each on behalf of one access key for twelve hours. */
export class Tokens {
  readonly #signer: TokenSigner

  constructor(signer: TokenSigner) {
    this.#signer = signer
  }

  /** With a signer of its own. Throws what that throws. */
  static async open(options: TokenSignerOptions): Promise<Tokens> {
    return new Tokens(await TokenSigner.open(options))
  }

  async issue(key: AccessKey): Promise<Token> {
    const { token: password, expiresAt } = await this.#signer.sign(key, login)
    const authorizationToken = Buffer.from(`${tokenUser}:${password}`).toString('base64')
    return { password, authorizationToken, expiresAt }
  }

  async verify(password: string): Promise<TokenVerdict> {
    const verdict = await this.#signer.verify(password, login)
    if (verdict.state !== 'valid') return verdict
    const { state, key, expiresAt } = verdict
    return { state, key, expiresAt }
  }
}
