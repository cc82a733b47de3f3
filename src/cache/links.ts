import { type Link, linkKey, type Metadata } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import type { Clock } from './clock.ts'

/**
 * Which digests a repository is known to hold. Bytes are shared by all repositories; a link is what lets one of them
 * show them. A link that another upstream vouched for counts for nothing: the rule has been pointed elsewhere since.
 */
export class Links {
  readonly #metadata: Metadata
  readonly #upstream: string | undefined
  readonly #clock: Clock

  /** Without `upstream` every link counts: no rule leads to the repository any more. */
  constructor(metadata: Metadata, upstream: string | undefined, clock: Clock) {
    this.#metadata = metadata
    this.#upstream = upstream
    this.#clock = clock
  }

  async get(repository: string, digest: Digest): Promise<Link | undefined> {
    const link = await this.#metadata.links.get(linkKey(repository, digest))
    return this.#upstream === undefined || link?.upstream === this.#upstream ? link : undefined
  }

  /** Records that upstream gave us `digest` in answer to a question about `repository`. */
  async vouch(repository: string, digest: Digest, facts: Pick<Link, 'size' | 'mediaType' | 'needs'>): Promise<Link> {
    const now = this.#clock()
    const link = { ...facts, upstream: this.#upstream ?? '', linkedAt: now }
    await this.#metadata.links.set(linkKey(repository, digest), link)
    await this.#metadata.repositories.create(repository, { createdAt: now })
    return link
  }
}
