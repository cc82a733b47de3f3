import { LRUCache } from 'lru-cache'
import { SingleFlight } from '../async/single-flight.ts'
import type { Credential, Credentials } from '../credentials/credentials.ts'
import { corrupt, denied, isKind, unavailable } from '../oci/errors.ts'
import { throttledBy } from './cooldown.ts'
import type { Incoming } from './incoming.ts'
import type { Transport } from './transport.ts'

/** Where tokens come from, as a challenge names it, and what for. */
export type TokenRequest = { realm: URL; service: string | undefined; scope: string }

const maxTokens = 1000
const maxBody = 64 * 1024
const defaultLifeMs = 60_000
const longestLifeMs = 24 * 3_600_000
const usedLife = 0.9

type Token = { value: string; staleAt: number; credential: Credential | undefined }

/**
 * Bearer tokens, each kept for nine tenths of its life. Callers that want the same one wait for the same request. Of
 * one rule, and so of one account.
 *
 * https://distribution.github.io/distribution/spec/auth/token/
 */
export class Tokens {
  readonly #transport: Transport
  readonly #credentials: Credentials
  readonly #deadlineMs: number
  readonly #now: () => number
  readonly #kept = new LRUCache<string, Token>({ max: maxTokens })
  readonly #flights = new SingleFlight<Token>()

  constructor(transport: Transport, credentials: Credentials, deadlineMs: number, now: () => number) {
    this.#transport = transport
    this.#credentials = credentials
    this.#deadlineMs = deadlineMs
    this.#now = now
  }

  /** Throws `denied` where the credential does not suffice, even when asked for anew. */
  async get(request: TokenRequest, signal: AbortSignal | undefined): Promise<string> {
    const key = keyOf(request)
    const kept = this.#kept.get(key)
    if (kept && kept.staleAt > this.#now()) return kept.value
    const { value } = await this.#flights.do(key, () => this.#renew(key, request), signal).result
    return value
  }

  /** Forgets a token that upstream refused, and the credential it came from. A newer token in its place stays. */
  drop(request: TokenRequest, value: string): void {
    const key = keyOf(request)
    const kept = this.#kept.peek(key)
    if (kept?.value !== value) return
    this.#kept.delete(key)
    if (kept.credential) this.#credentials.reject(kept.credential)
  }

  async #renew(key: string, request: TokenRequest): Promise<Token> {
    const credential = await this.#credentials.get()
    const token = await this.#fetch(request, credential).catch(async (error) => {
      if (!credential || !isKind(error, 'denied')) throw error
      this.#credentials.reject(credential)
      const next = await this.#credentials.get()
      if (!next || basicOf(next) === basicOf(credential)) throw error
      return this.#fetch(request, next)
    })
    this.#kept.set(key, token)
    return token
  }

  async #fetch({ realm, service, scope }: TokenRequest, credential: Credential | undefined): Promise<Token> {
    const url = new URL(realm)
    if (service !== undefined) url.searchParams.set('service', service)
    url.searchParams.set('scope', scope)
    const headers: Record<string, string> = { accept: 'application/json' }
    if (credential) headers.authorization = basicOf(credential)
    const signal = AbortSignal.timeout(this.#deadlineMs)
    const startedAt = this.#now()
    const incoming = await this.#transport.send({ url, method: 'GET', kind: 'token', headers, signal })
    const { value, lifeMs } = await tokenIn(incoming)
    return { value, staleAt: startedAt + lifeMs * usedLife, credential }
  }
}

export const basicOf = ({ username, password }: Credential): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`

const keyOf = ({ realm, service, scope }: TokenRequest): string => JSON.stringify([realm.href, service, scope])

async function tokenIn(incoming: Incoming): Promise<{ value: string; lifeMs: number }> {
  const { status, host } = incoming
  if (status !== 200) {
    await incoming.drop()
    if (status === 429) throw throttledBy(incoming)
    if (status === 400 || status === 401 || status === 403) throw denied(`${host} refuses a token`)
    throw unavailable(`${host} answered ${status} where a token is expected`)
  }
  const answer = parse(await incoming.read(maxBody))
  const value = answer.token ?? answer.access_token
  if (typeof value !== 'string' || !/^[\x21-\x7e]+$/.test(value)) throw corrupt(`${host} sent no token`)
  const seconds = answer.expires_in
  const known = typeof seconds === 'number' && seconds > 0
  return { value, lifeMs: known ? Math.min(seconds * 1000, longestLifeMs) : defaultLifeMs }
}

function parse(body: Buffer): { token?: unknown; access_token?: unknown; expires_in?: unknown } {
  try {
    return Object(JSON.parse(body.toString()))
  } catch {
    return {}
  }
}
