import { type Expiration, expirations, type LifecycleImage } from '../lifecycle/evaluate.ts'
import type { LifecyclePolicy } from '../lifecycle/policy.ts'
import { linkKey, type Metadata } from '../metadata/metadata.ts'
import { isIndex } from '../oci/manifest.ts'
import type { Image, Images } from './images.ts'
import type { PullTimes } from './pull-times.ts'

export type ExpiringOptions = {
  metadata: Pick<Metadata, 'links'>
  images: Pick<Images, 'list' | 'tagsOf' | 'subjectOf'>
  pullTimes: Pick<PullTimes, 'of'>
  /** Whether an image with these tags stays whatever a policy says. */
  isPinned: (repository: string, tags: readonly string[]) => boolean
  /** Milliseconds since the epoch. */
  clock: () => number
}

/** Says which images of a repository a policy lets go. It deletes none. */
export class Expiring {
  readonly #options: ExpiringOptions

  constructor(options: ExpiringOptions) {
    this.#options = options
  }

  /** As things stand now, those held longest first. Reads every manifest of the repository. Rejects once aborted. */
  async in(repository: string, policy: LifecyclePolicy, signal: AbortSignal): Promise<Expiration<LifecycleImage>[]> {
    const images: LifecycleImage[] = []
    for await (const image of this.#options.images.list(repository)) {
      signal.throwIfAborted()
      images.push(await this.#describe(repository, image))
    }
    return expirations(policy, images, this.#options.clock())
  }

  async #describe(repository: string, image: Image): Promise<LifecycleImage> {
    const { digest, mediaType, heldSince } = image
    const { metadata, images, pullTimes, isPinned } = this.#options
    const [tags, pulledAt, link, subject] = await Promise.all([
      images.tagsOf(repository, digest),
      pullTimes.of(repository, digest),
      metadata.links.get(linkKey(repository, digest)),
      images.subjectOf(image),
    ])
    return {
      digest,
      tags,
      pushedAt: heldSince,
      references: isIndex(mediaType) ? (link?.needs ?? []) : [],
      pinned: isPinned(repository, tags),
      ...(pulledAt !== undefined && { pulledAt }),
      ...(subject !== undefined && { subject }),
    }
  }
}
