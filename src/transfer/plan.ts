import type { Hold } from '../async/holds.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import { isKind } from '../oci/errors.ts'
import type { Descriptor } from '../oci/registry.ts'
import type { PlaceOf } from '../repositories/named.ts'
import { companionTags } from './companions.ts'
import type { Holdings, Survey } from './holdings.ts'
import { type Kinship, kinshipOf } from './kinship.ts'
import { isUsable, type Lacks, named, type Part, partOf } from './parts.ts'
import { nameOfRoot, type Root, select } from './selection.ts'

export type PlanOptions = {
  metadata: Pick<Metadata, 'repositories' | 'tags'>
  holdings: Holdings
  placeOf: PlaceOf
}

/** What is to go into a bundle. */
export type Wanted = {
  /** As `select` takes them. */
  names: readonly string[]
  platforms: readonly string[]
  /** Also what is about the images. */
  referrers: boolean
  /** What is not whole goes as far as it can be pulled. */
  partial: boolean
}

export type PlannedImage = {
  reference: string
  descriptor: Descriptor
  part: Part
  referrers: Digest[]
}

/** An image of which something is missing; `included` as far as it is there. */
export type Incomplete = { reference: string; reason?: string; included: boolean } & Lacks

export type Plan = { images: PlannedImage[]; incomplete: Incomplete[] }

/**
 * What a bundle is to be made of, in the order of references. All that it names is added to `hold`. Throws what `select`
 * throws.
 */
export async function planBundle(wanted: Wanted, options: PlanOptions, hold: Hold<Digest>): Promise<Plan> {
  const planner = new Planner(wanted, options, hold)
  return planner.plan(await select(wanted.names, { ...options, ...wanted, kinshipOf: planner.kinshipOf }))
}

class Planner {
  readonly #wanted: Wanted
  readonly #options: PlanOptions
  readonly #hold: Hold<Digest>
  readonly #kinships = new Map<string, Promise<Kinship>>()
  readonly #images = new Map<string, PlannedImage>()
  readonly #incomplete: Incomplete[] = []

  constructor(wanted: Wanted, options: PlanOptions, hold: Hold<Digest>) {
    this.#wanted = wanted
    this.#options = options
    this.#hold = hold
  }

  readonly kinshipOf = (repository: string): Promise<Kinship> => {
    const known = this.#kinships.get(repository) ?? kinshipOf(repository, this.#options.holdings)
    this.#kinships.set(repository, known)
    return known
  }

  async plan(roots: readonly Root[]): Promise<Plan> {
    const queue = [...roots]
    const seen = new Set<string>()
    for (const root of queue) {
      const reference = nameOfRoot(root)
      if (seen.has(reference)) continue
      seen.add(reference)
      const image = await this.#planned(root)
      if (!image) continue
      this.#images.set(reference, image)
      for (const digest of image.part.held.keys()) this.#hold.add(digest)
      if (!this.#wanted.referrers) continue
      const about = await this.#about(root.repository, image.part.manifests)
      image.referrers = [...new Set(about.map(({ digest }) => digest))].sort()
      queue.push(...about)
    }
    const images = [...this.#images.values()].sort((a, b) => (a.reference < b.reference ? -1 : 1))
    return { images, incomplete: this.#incomplete }
  }

  async #planned(root: Root): Promise<PlannedImage | undefined> {
    const reference = nameOfRoot(root)
    let survey: Survey | undefined
    try {
      survey = await this.#options.holdings.survey(root.repository, root.digest)
    } catch (error) {
      if (!isKind(error, 'corrupt')) throw error
      this.#incomplete.push({ reference, missing: [{ digest: root.digest }], reason: error.message, included: false })
      return undefined
    }
    if (!survey) return undefined // it went meanwhile
    const part = partOf(survey, this.#wanted.platforms)
    const included = part.missing.length === 0 || (this.#wanted.partial && isUsable(part))
    if (part.missing.length > 0) this.#incomplete.push({ reference, ...named(part.missing), included })
    return included ? { reference, descriptor: survey.descriptor, part, referrers: [] } : undefined
  }

  /** What a repository holds about some of its manifests, by whichever of the ways to say so. */
  async #about(repository: string, subjects: readonly Digest[]): Promise<Root[]> {
    const { referrers } = await this.kinshipOf(repository)
    const found: Root[] = []
    for (const subject of subjects) {
      for (const digest of referrers.get(subject) ?? []) found.push({ repository, digest })
      for (const tag of companionTags(subject)) {
        const image = await this.#options.holdings.images.tagged(repository, tag)
        if (image) found.push({ repository, digest: image.digest, tag })
      }
    }
    return found
  }
}
