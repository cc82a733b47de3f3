import { randomBytes } from 'node:crypto'
import { type Answer, failure, text } from './faulty-answer.ts'
import type { Seen } from './faulty-fault.ts'

export type TokenPolicy = {
  /** Passwords by user. */
  users?: Record<string, string>
  /** The repositories that each user may pull; by default all. */
  grants?: Record<string, readonly string[]>
  /** Whether those without a credential get a token; by default yes, unless there are users. */
  anonymous?: boolean
  service?: string
  /** What the token answer says; `null` leaves it out. In seconds. */
  expiresIn?: number | null
  /** The field of the token answer. */
  field?: 'token' | 'access_token'
  /** Where the challenge sends clients; by default to the upstream itself. */
  realm?: string
  /** The whole WWW-Authenticate header, or `null` for none. */
  challenge?: string | null
  /** The scope that the challenge names; by default the right one. */
  challengeScope?: string
  /** The challenge to those who showed something. */
  staleChallenge?: string
}

type Policy = { kind: 'open' } | { kind: 'basic'; header: string } | ({ kind: 'token' } & TokenPolicy)

export const basic = (username: string, password: string): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`

/** Who may pull, the way registries decide it. */
export class Gate {
  #policy: Policy = { kind: 'open' }
  readonly #issued = new Map<string, string>()
  #accepted = this.#issued

  open(): void {
    this.#policy = { kind: 'open' }
  }

  requireBasic(username: string, password: string): void {
    this.#policy = { kind: 'basic', header: basic(username, password) }
  }

  /** Accepts the tokens that `issuer` gives out. */
  requireToken(policy: TokenPolicy, issuer: Gate): void {
    this.#policy = { kind: 'token', ...policy }
    this.#accepted = issuer.#issued
  }

  revokeTokens(): void {
    this.#accepted.clear()
  }

  /** Every token that is valid now. */
  get tokens(): string[] {
    return [...this.#accepted.keys()]
  }

  /** The refusal, or nothing where the request may pass. */
  refuse(seen: Seen, origin: string): Answer | undefined {
    const policy = this.#policy
    if (policy.kind === 'open') return undefined
    if (policy.kind === 'basic') {
      if (seen.headers.authorization === policy.header) return undefined
      return failure(401, 'UNAUTHORIZED', { 'www-authenticate': 'Basic realm="test"' })
    }
    const scope = seen.repository ? `repository:${seen.repository}:pull` : ''
    const granted = this.#accepted.get(seen.headers.authorization?.replace(/^Bearer /, '') ?? '')
    if (granted !== undefined && (scope === '' || granted === scope)) return undefined
    if (policy.challenge === null && seen.kind !== 'ping') return failure(401, 'UNAUTHORIZED')
    const stale = seen.headers.authorization === undefined ? undefined : policy.staleChallenge
    const challenge = stale ?? policy.challenge ?? challengeOf(policy, origin, scope)
    return failure(401, 'UNAUTHORIZED', { 'www-authenticate': challenge })
  }

  issue(seen: Seen): Answer {
    const policy = this.#policy
    if (policy.kind !== 'token') return failure(404, 'NOT_FOUND')
    const { users = {}, anonymous = !policy.users, grants, field = 'token', expiresIn = 300 } = policy
    const sent = seen.headers.authorization
    const user = Object.keys(users).find((name) => basic(name, users[name] ?? '') === sent)
    if (user === undefined && !(anonymous && sent === undefined)) return failure(401, 'UNAUTHORIZED')
    const scope = new URL(seen.url, 'http://token').searchParams.get('scope') ?? ''
    const granted = !grants || grants[user ?? '']?.includes(scope.split(':')[1] ?? '')
    const token = `token-${randomBytes(12).toString('hex')}`
    this.#issued.set(token, granted ? scope : 'nothing')
    return text(200, JSON.stringify({ [field]: token, ...(expiresIn === null ? {} : { expires_in: expiresIn }) }))
  }
}

function challengeOf(policy: TokenPolicy, origin: string, scope: string): string {
  const { realm = `${origin}/token`, service = 'test-registry', challengeScope = scope } = policy
  return `Bearer realm="${realm}",service="${service}"${challengeScope ? `,scope="${challengeScope}"` : ''}`
}
