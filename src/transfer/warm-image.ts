import type { Hold } from '../async/holds.ts'
import type { Places } from '../async/places.ts'
import { contentOf, type Listed } from '../oci/content.ts'
import type { Digest } from '../oci/digest.ts'
import { isKind, unavailable } from '../oci/errors.ts'
import { isIndex } from '../oci/manifest.ts'
import type { Reference } from '../oci/reference.ts'
import type { Manifest, Registry } from '../oci/registry.ts'
import type { Named } from '../repositories/named.ts'
import type { Rule } from '../rules/rule.ts'
import { signatureTags } from './companions.ts'
import { freshBudget, type Holdings } from './holdings.ts'
import type { Patience } from './patience.ts'
import { chosen } from './platform.ts'
import { invalid } from './request.ts'
import type { WarmProgress } from './warm-progress.ts'

export type WarmImageOptions = {
  holdings: Holdings
  registryOf: (rule: Rule) => Registry
  /** Whether the store has it, whoever may be shown it. */
  isStored: (digest: Digest) => Promise<boolean>
  /** Has room made. Throws where there can be none. */
  makeRoom: (bytes: number) => Promise<void>
  /** Resolves once what is on its way is in the store, or will not be. */
  settled: (digest: Digest, rule: Rule) => Promise<void>
  /** Throws `throttled` where what the rule's upstream still allows is kept for others. */
  admit: (rule: Rule) => void
  patienceOf: (rule: Rule) => Patience
  /** For blobs that are fetched at a time. */
  places: Places
  platforms: readonly string[]
  referrers: boolean
  /** Of all that was fetched, or was here already. */
  hold: Hold<Digest>
  progress: WarmProgress
  signal: AbortSignal
}

/** Of one image, with all that is about it. */
const maxBlobs = 100_000
const maxDepth = 3

export type Warmed = { digest: Digest; manifests: Digest[]; bytes: number; stale: boolean }

/** Fetches one image as clients do, as far as it is not here. */
export class WarmImage {
  readonly #options: WarmImageOptions
  readonly #place: Named & { rule: Rule }
  readonly #registry: Registry
  readonly #patience: Patience
  readonly #manifests = new Set<Digest>()
  readonly #blobs = new Map<Digest, Listed>()
  readonly #left = freshBudget()
  #fetched = 0

  constructor(place: Named & { rule: Rule }, options: WarmImageOptions) {
    this.#options = options
    this.#place = place
    this.#registry = options.registryOf(place.rule)
    this.#patience = options.patienceOf(place.rule)
  }

  /** Resolves to the manifests that somebody may ask for by name: the image's own comes first. */
  async run(): Promise<Warmed> {
    const { repository, tag = 'latest', digest } = this.#place
    const root = await this.#manifest(digest ? { repository, digest } : { repository, tag })
    const subjects = await this.#tree(root, this.#options.platforms)
    const about = this.#options.referrers ? await this.#about(subjects) : []
    await this.#fetchBlobs()
    return {
      digest: root.descriptor.digest,
      manifests: [root.descriptor.digest, ...about],
      bytes: this.#fetched,
      stale: root.outcome?.cache === 'stale',
    }
  }

  async #manifest(reference: Reference): Promise<Manifest> {
    const { signal, hold, admit } = this.#options
    const pull = { signal, admit: () => admit(this.#place.rule) }
    const manifest = await this.#patience.ask(() => this.#registry.manifest(reference, pull))
    hold.add(manifest.descriptor.digest)
    if (this.#manifests.has(manifest.descriptor.digest)) return manifest
    this.#manifests.add(manifest.descriptor.digest)
    this.#left.manifests--
    this.#left.bytes -= manifest.bytes.length
    if (this.#left.manifests < 0 || this.#left.bytes < 0) throw invalid('it has more manifests than an image should')
    if (manifest.outcome?.cache === 'miss') this.#fetched += manifest.bytes.length
    return manifest
  }

  /** Notes what a manifest is made of, and resolves to the manifests of it that others may be about. */
  async #tree({ descriptor, bytes }: Manifest, platforms: readonly string[], depth = maxDepth): Promise<Digest[]> {
    const content = contentOf(bytes)
    for (const blob of content.blobs) this.#blobs.set(blob.digest, blob)
    if (this.#blobs.size > maxBlobs) throw invalid('it has more blobs than an image should')
    const subjects = [descriptor.digest]
    if (!isIndex(descriptor.mediaType) || depth === 0) return subjects
    const meant = chosen(content.manifests, platforms)
    if (meant.length === 0 && platforms.length > 0) throw invalid(`it has no image for ${platforms.join(', ')}`)
    for (const { digest, about } of meant) {
      const child = await this.#manifest({ repository: this.#place.repository, digest })
      const below = await this.#tree(child, [], depth - 1)
      if (!about) subjects.push(...below)
    }
    return subjects
  }

  /** What is about manifests, and what is about that, by whichever of the ways to say so. */
  async #about(subjects: readonly Digest[], depth = maxDepth): Promise<Digest[]> {
    const { repository } = this.#place
    const found: Manifest[] = []
    for (const subject of subjects) {
      const { signal } = this.#options
      const list = () => this.#registry.referrers(repository, subject, { signal })
      const listed = await this.#patience.ask(list).catch(ifUnknown)
      for (const { digest } of listed?.referrers ?? []) {
        if (!this.#manifests.has(digest)) found.push(await this.#manifest({ repository, digest }))
      }
      for (const tag of signatureTags(subject)) {
        const tagged = await this.#manifest({ repository, tag }).catch(ifUnknown)
        if (tagged) found.push(tagged)
      }
    }
    const about: Digest[] = []
    for (const manifest of found) about.push(...(await this.#tree(manifest, [])))
    return about.length > 0 && depth > 0 ? [...about, ...(await this.#about(about, depth - 1))] : about
  }

  async #fetchBlobs(): Promise<void> {
    const { holdings, hold, progress } = this.#options
    const lacking: Listed[] = []
    for (const blob of this.#blobs.values()) {
      hold.add(blob.digest)
      const size = await holdings.images.blobSize(this.#place.repository, blob.digest)
      if (size === undefined) lacking.push(blob)
    }
    progress.survey(lacking.reduce((sum, { size = 0 }) => sum + size, 0))
    const results = await Promise.allSettled(lacking.map((blob) => this.#fetchBlob(blob)))
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }

  async #fetchBlob({ digest, size }: Listed): Promise<void> {
    const { places, makeRoom, isStored, settled, holdings, signal } = this.#options
    const { rule, repository } = this.#place
    const leave = await places.take(signal)
    let counted = 0
    try {
      if (size !== undefined && !(await isStored(digest))) await makeRoom(size)
      await this.#patience.ask(async () => {
        const { body, outcome } = await this.#registry.blob(repository, digest, { signal })
        await using owned = body
        if (outcome?.cache === 'hit' || outcome?.cache === 'revalidated') return
        let position = 0
        const write = (chunk: Uint8Array) => {
          position += chunk.length
          if (position <= counted) return
          this.#count(position - counted)
          counted = position
        }
        await owned.sendTo({ write }, signal)
      })
      await settled(digest, rule)
      if ((await holdings.images.blobSize(repository, digest)) === undefined) {
        throw unavailable(`${digest} could not be stored`)
      }
    } catch (error) {
      this.#options.progress.giveUp((size ?? 0) - counted)
      throw error
    } finally {
      leave?.()
    }
  }

  #count(bytes: number): void {
    this.#fetched += bytes
    this.#options.progress.fetch(bytes)
  }
}

function ifUnknown(error: unknown): undefined {
  if (!isKind(error, 'unknown', 'unsupported')) throw error
}
