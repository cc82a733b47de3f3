import { SingleFlight } from '../async/single-flight.ts'
import type { Credential, Credentials } from './credentials.ts'

/** A credential and how long it may be used, in milliseconds. */
export type Lease = { credential: Credential; lifeMs: number }

/** A credential that costs a request: kept for its life, dropped when it is refused, fetched once however many wait. */
export class KeptCredentials implements Credentials {
  readonly #fetch: () => Promise<Lease>
  readonly #now: () => number
  readonly #flights = new SingleFlight<Credential>()
  #kept: { credential: Credential; staleAt: number } | undefined

  /** `now` gives milliseconds of a clock that never goes back. */
  constructor(fetch: () => Promise<Lease>, now: () => number = () => performance.now()) {
    this.#fetch = fetch
    this.#now = now
  }

  async get(): Promise<Credential | undefined> {
    if (this.#kept && this.#kept.staleAt > this.#now()) return this.#kept.credential
    return this.#flights.do('', () => this.#renew()).result
  }

  reject({ username, password }: Credential): void {
    const kept = this.#kept?.credential
    if (kept?.username === username && kept.password === password) this.#kept = undefined
  }

  async #renew(): Promise<Credential> {
    const { credential, lifeMs } = await this.#fetch()
    this.#kept = { credential, staleAt: this.#now() + lifeMs }
    return credential
  }
}
