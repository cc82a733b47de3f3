import type { AccessKey } from '../access/access-key.ts'
import type { Caller } from '../access/authority.ts'
import { type BasicCredentials, parseBasic } from '../access/basic.ts'
import { anonymousPolicies } from '../access/built-in-policies.ts'
import type { PasswordUsers } from '../access/password-users.ts'
import { anonymous, keyUser, passwordUser } from '../access/principal.ts'
import { SignatureError } from '../access/signature-error.ts'
import { type RawRequest, verifySignature } from '../access/sigv4.ts'
import { parseAuthorization } from '../access/sigv4-authorization.ts'
import { type TokenVerdict, tokenUser } from '../access/tokens.ts'
import { denied, RegistryError } from '../oci/errors.ts'
import type { Exchange } from './exchange.ts'

export type AuthenticationOptions = {
  /** `open`: whoever reaches the data plane is anonymous and may pull. `required`: nobody is. */
  mode: 'open' | 'required'
  registryId: string
  /** How clients reach this instance, without a slash at its end. */
  publicUrl: string
  keys: { get(id: string): AccessKey | undefined }
  tokens: { verify(password: string): Promise<TokenVerdict> }
  /** Users beside `AWS`; absent, there are none. */
  passwords?: Pick<PasswordUsers, 'verify' | 'policies'>
  /** The only region that may sign; absent, any may. */
  region?: string
  /** Milliseconds since the epoch. */
  clock?: () => number
}

/** A caller who signed with an access key. */
export type Signer = { readonly caller: Caller; readonly key: AccessKey }

/** The one place where a caller's identity is decided. */
export class Authentication {
  readonly #options: AuthenticationOptions

  constructor(options: AuthenticationOptions) {
    this.#options = options
  }

  /**
   * Who pulls. In open mode nobody looks at what clients send along: it may be meant for the registry that they believe
   * they talk to. Throws `unauthorized` and `denied`; `unavailable` and `throttled` where a password cannot be checked.
   */
  async puller(exchange: Exchange): Promise<Caller> {
    if (this.#options.mode === 'open') {
      exchange.principal = anonymous
      exchange.permit = { until: Number.POSITIVE_INFINITY, principal: anonymous.name }
      return { principal: anonymous, identity: anonymousPolicies, context: contextOf(exchange) }
    }
    const basic = parseBasic(exchange.header('authorization'))
    if (!basic) throw this.#unauthorized(exchange)
    return basic.username === tokenUser
      ? this.#tokenHolder(exchange, basic.password)
      : this.#passwordUser(exchange, basic)
  }

  /**
   * Throws `SignatureError` where a request cannot be one that somebody signed, whatever its body turns out to be: who
   * has no key is not waited for.
   */
  assertSignable(exchange: Exchange): void {
    const { keyId } = parseAuthorization(exchange.header('authorization'))
    if (this.#options.keys.get(keyId)) return
    const message = 'The security token included in the request is invalid.'
    throw new SignatureError('UnrecognizedClientException', message)
  }

  /** Who signed a request to `service`. In every mode somebody has to. Throws `SignatureError`. */
  async signer(exchange: Exchange, request: RawRequest, service: string): Promise<Signer> {
    const { keys, region, clock = Date.now } = this.#options
    const key = await verifySignature(request, { keys, service, now: clock(), ...(region !== undefined && { region }) })
    return { caller: this.#caller(exchange, key), key }
  }

  /** Who has what was handed out to an access key, and shows it. */
  holderOf(exchange: Exchange, key: AccessKey): Caller {
    return this.#caller(exchange, key)
  }

  async #tokenHolder(exchange: Exchange, token: string): Promise<Caller> {
    const verdict = await this.#options.tokens.verify(token)
    if (verdict.state === 'valid') {
      const caller = this.#caller(exchange, verdict.key)
      exchange.permit = { until: verdict.expiresAt, principal: caller.principal.name }
      return caller
    }
    if (verdict.state === 'expired') throw denied('Your authorization token has expired. Reauthenticate and try again.')
    throw this.#unauthorized(exchange)
  }

  async #passwordUser(exchange: Exchange, { username, password }: BasicCredentials): Promise<Caller> {
    const { passwords, registryId } = this.#options
    if (!passwords || !(await passwords.verify(username, password, exchange.client))) throw this.#unauthorized(exchange)
    const principal = passwordUser(registryId, username)
    exchange.principal = principal
    return { principal, identity: passwords.policies, context: contextOf(exchange) }
  }

  #caller(exchange: Exchange, key: AccessKey): Caller {
    const principal = keyUser(this.#options.registryId, key)
    exchange.principal = principal
    return { principal, identity: key.policies, context: contextOf(exchange) }
  }

  #unauthorized({ outgoing }: Exchange): RegistryError {
    outgoing.setHeader('WWW-Authenticate', `Basic realm="${this.#options.publicUrl}/",service="ecr.amazonaws.com"`)
    return new RegistryError('unauthorized', 'UNAUTHORIZED', 'Not Authorized')
  }
}

const contextOf = ({ client, secure }: Exchange): Caller['context'] => ({ sourceIp: client, secureTransport: secure })
