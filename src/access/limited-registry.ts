import type { Digest } from '../oci/digest.ts'
import { isKind } from '../oci/errors.ts'
import type { RangeSpec } from '../oci/range.ts'
import type { Reference } from '../oci/reference.ts'
import type { Page, Pull, Registry } from '../oci/registry.ts'
import type { ClientLimits } from './client-limits.ts'

/** A registry as one client may use it: within its budget of questions that lead to nothing. */
export class LimitedRegistry implements Registry {
  readonly #registry: Registry
  readonly #limits: ClientLimits
  readonly #client: string

  constructor(registry: Registry, limits: ClientLimits, client: string) {
    this.#registry = registry
    this.#limits = limits
    this.#client = client
  }

  resolve(reference: Reference, pull: Pull = {}) {
    return this.#within(pull, (limited) => this.#registry.resolve(reference, limited))
  }

  manifest(reference: Reference, pull: Pull = {}) {
    return this.#within(pull, (limited) => this.#registry.manifest(reference, limited))
  }

  stat(repository: string, digest: Digest, pull: Pull = {}) {
    return this.#within(pull, (limited) => this.#registry.stat(repository, digest, limited))
  }

  blob(repository: string, digest: Digest, pull: Pull & { range?: RangeSpec | undefined } = {}) {
    return this.#within(pull, (limited) => this.#registry.blob(repository, digest, limited))
  }

  tags(repository: string, page: Page = {}, pull: Pull = {}) {
    return this.#within(pull, (limited) => this.#registry.tags(repository, page, limited))
  }

  referrers(repository: string, subject: Digest, pull: Pull = {}) {
    const ask = (limited: Pull) => this.#registry.referrers(repository, subject, limited)
    // Many upstreams have an empty list for every digest there could be.
    return this.#within(pull, ask, ({ referrers }) => referrers.length > 0)
  }

  /** A client that leaves before the answer pays: else hanging up would be the way to ask for nothing. */
  async #within<P extends Pull, T>(
    pull: P,
    ask: (pull: P) => Promise<T>,
    isFruitful: (answer: T) => boolean = () => true,
  ): Promise<T> {
    let charged = false
    const admit = () => {
      if (!charged) this.#limits.charge(this.#client)
      charged = true
    }
    let inVain = false
    try {
      const answer = await ask({ ...pull, admit })
      inVain = !isFruitful(answer)
      return answer
    } catch (error) {
      inVain = isKind(error, 'unknown', 'denied') || pull.signal?.aborted === true
      throw error
    } finally {
      if (charged && !inVain) this.#limits.refund(this.#client)
    }
  }
}
