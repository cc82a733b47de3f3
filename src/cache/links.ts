import { type Link, linkKey } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import { publish } from '../telemetry/events.ts'
import type { Cache } from './origin.ts'

/**
 * Which digests a repository is known to hold. Bytes are shared by all repositories; a link is what lets one of them
 * show them. A link that another upstream vouched for counts for nothing: the rule has been pointed elsewhere since.
 */
export class Links {
  readonly #cache: Pick<Cache, 'metadata' | 'decisions' | 'clock'>
  readonly #upstream: string | undefined

  /** Without `upstream` every link counts: no rule leads to the repository any more. */
  constructor(cache: Pick<Cache, 'metadata' | 'decisions' | 'clock'>, upstream: string | undefined) {
    this.#cache = cache
    this.#upstream = upstream
  }

  async get(repository: string, digest: Digest): Promise<Link | undefined> {
    const link = await this.#cache.metadata.links.get(linkKey(repository, digest))
    return this.#upstream === undefined || link?.upstream === this.#upstream ? link : undefined
  }

  /** Records that upstream gave us `digest` in answer to a question about `repository`. */
  async vouch(repository: string, digest: Digest, facts: Pick<Link, 'size' | 'mediaType' | 'needs'>): Promise<Link> {
    const now = this.#cache.clock()
    const link = { ...facts, upstream: this.#upstream ?? '', linkedAt: now }
    await this.#cache.metadata.links.set(linkKey(repository, digest), link)
    await this.#begin(repository, now)
    return link
  }

  /** A repository that cannot begin yet does so with a later pull; this one has its bytes all the same. */
  async #begin(repository: string, now: number): Promise<void> {
    try {
      await this.#cache.decisions.begin(repository, now)
    } catch (error) {
      const message = 'a repository could not be created'
      publish('cistern:fault', { where: 'metadata', kind: 'internal', message, repository, error })
    }
  }
}
