import { untilAborted } from '../async/single-flight.ts'
import type { Credentials } from '../credentials/credentials.ts'
import { corrupt, isKind, unavailable } from '../oci/errors.ts'
import type { Rule } from '../rules/rule.ts'
import { type Challenge, parseChallenges } from './challenge.ts'
import { basicOf, type Tokens } from './token.ts'

/** The value of an Authorization header. */
export type Authorization = {
  header: string
  /** Upstream refused it: what it was made of is asked for anew. */
  forget(): void
}

type Way = { scheme: 'basic' } | { scheme: 'bearer'; realm: URL; service: string | undefined }

/**
 * Proves to one upstream who we are, in the way it asks for. Nothing is sent before it asked once; then what worked is
 * remembered. The challenge chooses the way only: the scope is always our own, and the realm has to be the upstream's
 * own origin or one that the rule lists.
 */
export class Authenticator {
  readonly #rule: Rule
  readonly #credentials: Credentials
  readonly #tokens: Tokens
  #way: Way | undefined

  constructor(rule: Rule, credentials: Credentials, tokens: Tokens) {
    this.#rule = rule
    this.#credentials = credentials
    this.#tokens = tokens
  }

  /** What worked before; `undefined` where upstream never asked. */
  async known(scope: string, signal: AbortSignal | undefined): Promise<Authorization | undefined> {
    const way = this.#way
    try {
      return way && (await this.#authorize(way, scope, signal))
    } catch (error) {
      // Upstream may have moved its realm: the next request listens to its challenge again.
      if (isKind(error, 'denied', 'corrupt', 'unavailable')) this.#way = undefined
      throw error
    }
  }

  /**
   * Answers a challenge, or without one does again what worked before. `undefined` where we have nothing to show.
   * Throws `unavailable` for a realm we must not go to, and `corrupt` for a challenge that cannot be read.
   */
  async meet(
    header: string | string[] | undefined,
    scope: string,
    signal: AbortSignal | undefined,
  ): Promise<Authorization | undefined> {
    if (header !== undefined) this.#way = this.#wayOf(parseChallenges(header))
    return this.known(scope, signal)
  }

  async #authorize(way: Way, scope: string, signal: AbortSignal | undefined): Promise<Authorization | undefined> {
    if (way.scheme === 'bearer') {
      const request = { realm: way.realm, service: way.service, scope }
      const token = await this.#tokens.get(request, signal)
      return { header: `Bearer ${token}`, forget: () => this.#tokens.drop(request, token) }
    }
    const credential = await untilAborted(this.#credentials.get(), signal)
    return credential && { header: basicOf(credential), forget: () => this.#credentials.reject(credential) }
  }

  #wayOf(challenges: Challenge[]): Way {
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer')
    if (bearer) {
      const { parameters } = bearer
      return { scheme: 'bearer', realm: this.#realm(parameters.get('realm') ?? ''), service: parameters.get('service') }
    }
    if (challenges.some(({ scheme }) => scheme === 'basic')) return { scheme: 'basic' }
    throw corrupt(`${this.#rule.upstream} asks for a credential in a way that is not understood`)
  }

  #realm(text: string): URL {
    const realm = URL.parse(text)
    const { upstream, realmHosts } = this.#rule
    const listed = [upstream, ...realmHosts].some((host) => realm?.origin === new URL(host).origin)
    if (!realm || !listed || realm.username !== '' || realm.password !== '') {
      const cause = new Error(`the realm is at ${realm?.host ?? 'no URL'}`)
      throw unavailable(`${upstream} sends clients for tokens to a host that the rule does not list`, { cause })
    }
    if (realm.protocol === 'http:' && !upstream.startsWith('http:')) {
      throw unavailable(`${upstream} sends clients to plain http for tokens`)
    }
    return realm
  }
}
