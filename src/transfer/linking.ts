import { type Link, linkKey, type Metadata, type Tag, tagKey } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import type { Referrer } from '../oci/registry.ts'
import type { Place } from '../repositories/named.ts'
import type { Survey } from './holdings.ts'
import type { Part } from './parts.ts'

export type LinkingOptions = {
  metadata: Pick<Metadata, 'links' | 'tags' | 'referrers'>
  /** Records that a repository holds a digest, as if the upstream of its rule had given it. */
  vouch: (place: Place, digest: Digest, facts: Pick<Link, 'size' | 'mediaType' | 'needs'>) => Promise<unknown>
  isImmutable: (repository: string, tag: string) => Promise<boolean>
  /** Milliseconds since the epoch. */
  clock: () => number
}

/**
 * Shows what is in the store in repositories, as if it had been pulled. No upstream has confirmed any of it: a tag, or a
 * list of referrers, is checked by the next pull where an upstream may be asked.
 */
export class Linking {
  readonly #options: LinkingOptions
  /** By the link of what they are about. */
  readonly #referrers = new Map<string, { upstream: string; referrers: Map<Digest, Referrer> }>()

  constructor(options: LinkingOptions) {
    this.#options = options
  }

  /** What an image is made of first, and the image itself last. */
  async image(place: Place, survey: Survey, part: Part): Promise<void> {
    const manifests = surveysIn(survey)
    for (const [digest, size] of part.held) if (!manifests.has(digest)) await this.#link(place, digest, { size })
    for (const digest of part.manifests.toReversed()) {
      const manifest = manifests.get(digest)
      if (!manifest) continue
      const { mediaType, size } = manifest.descriptor
      await this.#link(place, digest, { size, mediaType, needs: manifest.needs })
      this.#noteSubject(place, manifest)
    }
  }

  /** Points a tag to a manifest that is linked. Resolves to where it stays instead, where it is not to move. */
  async tag({ rule, repository }: Place, tag: string, digest: Digest): Promise<Digest | undefined> {
    const { metadata, isImmutable, clock } = this.#options
    const key = tagKey(repository, tag)
    const upstream = rule?.upstream ?? ''
    const known = await metadata.tags.get(key)
    const before = known && (!rule || known.upstream === upstream) ? known : undefined
    if (before?.digest === digest) return undefined
    if (before && (await isImmutable(repository, tag))) return before.digest
    const record: Tag = { digest, upstream, checkedAt: 0, movedAt: clock() }
    await metadata.tags.set(key, record)
    return undefined
  }

  /** Lists what is about others, once all of it is linked. */
  async referrers(): Promise<void> {
    const { links, referrers } = this.#options.metadata
    for (const [key, { upstream, referrers: added }] of this.#referrers) {
      if (!(await links.get(key))) continue
      const known = await referrers.get(key)
      const before = known?.upstream === upstream ? known : { referrers: [], upstream, checkedAt: 0 }
      const all = new Map([...before.referrers.map((each) => [each.digest, each] as const), ...added])
      await referrers.set(key, { ...before, referrers: [...all.values()] })
    }
  }

  async #link(place: Place, digest: Digest, facts: Pick<Link, 'size' | 'mediaType' | 'needs'>): Promise<void> {
    const known = await this.#options.metadata.links.get(linkKey(place.repository, digest))
    const counts = known && (!place.rule || known.upstream === place.rule.upstream)
    if (counts && known.size === facts.size && (facts.mediaType ?? known.mediaType) === known.mediaType) return
    await this.#options.vouch(place, digest, facts)
  }

  #noteSubject({ rule, repository }: Place, { content, descriptor }: Survey): void {
    const { subject, artifactType, annotations } = content
    if (!subject) return
    const key = linkKey(repository, subject)
    const list = this.#referrers.get(key) ?? { upstream: rule?.upstream ?? '', referrers: new Map() }
    list.referrers.set(descriptor.digest, {
      ...descriptor,
      ...(artifactType !== undefined && { artifactType }),
      ...(annotations && { annotations }),
    })
    this.#referrers.set(key, list)
  }
}

function surveysIn(survey: Survey): Map<Digest, Survey> {
  const all = new Map<Digest, Survey>([[survey.descriptor.digest, survey]])
  for (const child of survey.children) for (const [digest, each] of surveysIn(child)) all.set(digest, each)
  return all
}
