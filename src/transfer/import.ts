import type { Holds } from '../async/holds.ts'
import type { BlobStore } from '../blobs/blob-store.ts'
import type { Digest } from '../oci/digest.ts'
import { corrupt, isKind, RegistryError, unavailable } from '../oci/errors.ts'
import type { ImageName } from '../oci/reference.ts'
import type { Place, PlaceOf } from '../repositories/named.ts'
import { assertAllowed } from '../rules/rule.ts'
import { publish } from '../telemetry/events.ts'
import type { Listing } from './bundle-index.ts'
import { BrokenArchive } from './bundle-reader.ts'
import type { Survey } from './holdings.ts'
import { Intake } from './intake.ts'
import { Linking, type LinkingOptions } from './linking.ts'
import { isUsable, type Lacks, named, type Part, partOf } from './parts.ts'
import { invalid } from './request.ts'
import { surveyStock } from './stock.ts'

export type ImportOptions = LinkingOptions & {
  blobs: BlobStore
  holds: Holds<Digest>
  placeOf: PlaceOf
  /** The name that somebody means who writes it so. */
  meant: (name: string) => string
  /** Bytes that the store can take without anything having to go. */
  room: () => Promise<number>
  /** Deletes of these what nothing links to. */
  free: (digests: Iterable<Digest>) => Promise<unknown>
}

export type ImportRequest = {
  /** Where images belong that have no whole name in the bundle. */
  repository?: string | undefined
  signal?: AbortSignal | undefined
}

/**
 * `in part`: what it lacks was left out on purpose, by platform for instance. `incomplete`: it lacks more, and what is
 * there of it can be pulled. `missing`: it cannot. `refused`: the reason says why.
 */
export type ImportState = 'whole' | 'in part' | 'incomplete' | 'missing' | 'refused'

export type ImportedImage = {
  reference: string
  digest: Digest
  state: ImportState
  /** Of an index, those that can be pulled. */
  platforms?: string[]
  reason?: string
} & Partial<Lacks>

/** Sizes are bytes. */
export type ImportReport = {
  images: ImportedImage[]
  stored: { blobs: number; bytes: number }
  /** What was in the store already. */
  skipped: { blobs: number; bytes: number }
  damaged: { digest: Digest; reason: string }[]
  /** What no image of the bundle needs: it was not kept. */
  unreferenced: Digest[]
}

/**
 * Takes a bundle in: first all its blobs, which nobody is shown yet; then, image by image, what is whole. Nothing is
 * evicted for it. One that is cut off leaves blobs which the next attempt need not store again. Throws what keeps it
 * from being read to its end, or stored; nothing of it is shown then.
 */
export async function importBundle(
  source: AsyncIterable<Uint8Array>,
  { repository, signal }: ImportRequest,
  options: ImportOptions,
): Promise<ImportReport> {
  const { blobs, holds, meant, room, free } = options
  using hold = holds.begin()
  const intake = new Intake({ blobs, room, hold, repository, meant, signal })
  try {
    await intake.take(source)
  } catch (error) {
    signal?.throwIfAborted()
    hold[Symbol.dispose]()
    if (!(error instanceof BrokenArchive)) await free(intake.stored.keys())
    throw told(error)
  }
  const { images, reached } = await show(intake, options, signal)
  const unreferenced = [...intake.stored.keys()].filter((digest) => !reached.has(digest))
  hold[Symbol.dispose]()
  await free(unreferenced)
  return {
    images,
    stored: sumOf(intake.stored),
    skipped: sumOf(intake.skipped),
    damaged: [...intake.damaged].map(([digest, reason]) => ({ digest, reason })),
    unreferenced,
  }
}

async function show(intake: Intake, options: ImportOptions, signal: AbortSignal | undefined) {
  const linking = new Linking(options)
  const images: ImportedImage[] = []
  const reached = new Set<Digest>()
  for (const listing of intake.listings) {
    signal?.throwIfAborted()
    const survey = await surveyStock(options.blobs, listing).catch(asRefusal)
    if (survey && 'descriptor' in survey) reach(survey, reached)
    images.push(await showImage(listing, survey, { intake, linking, placeOf: options.placeOf }))
  }
  await linking.referrers()
  return { images, reached }
}

type Showing = { intake: Intake; linking: Linking; placeOf: PlaceOf }
type Refusal = { reason: string }

async function showImage(
  listing: Listing,
  survey: Survey | Refusal | undefined,
  { intake, linking, placeOf }: Showing,
): Promise<ImportedImage> {
  const { digest, label } = listing
  if ('unnamed' in listing) return { reference: label, digest, state: 'refused', reason: listing.unnamed }
  const place = await placeFor(listing.name, placeOf).catch(asRefusal)
  if ('reason' in place) return { reference: label, digest, state: 'refused', ...place }
  const { tag } = listing.name
  const reference = tag === undefined ? `${place.repository}@${digest}` : `${place.repository}:${tag}`
  const known = { reference, digest }
  const said = listing.name.digest ?? digest
  if (said !== digest) return { ...known, state: 'refused', reason: `its name says ${said}` }
  if (!survey) return { ...known, state: 'missing', missing: [{ digest }] }
  if ('reason' in survey) return { ...known, state: 'refused', ...survey }
  const part = partOf(survey)
  const { missing, platforms } = part
  const facts = { ...known, ...(platforms.length > 0 && { platforms }), ...(missing.length > 0 && named(missing)) }
  if (!isUsable(part)) return { ...facts, state: 'missing' }
  await linking.image(place, survey, part)
  const stays = tag === undefined ? undefined : await linking.tag(place, tag, digest)
  if (stays) return { ...facts, state: 'refused', reason: `the tag is immutable, and stays at ${stays}` }
  return { ...facts, state: stateOf(part, intake.expected) }
}

/** A name that no rule leads to is served as it is, to whoever knows it. */
async function placeFor({ name }: ImageName, placeOf: PlaceOf): Promise<Place> {
  const place = await placeOf(name).catch((error: unknown): Place => {
    if (!isKind(error, 'unknown')) throw error
    return { rule: undefined, repository: name, upstreamRepository: name }
  })
  if (place.rule) assertAllowed(place.rule, place.upstreamRepository)
  return place
}

function stateOf({ missing }: Part, expected: ReadonlySet<Digest> | undefined): ImportState {
  if (missing.length === 0) return 'whole'
  const meant = expected && missing.every(({ digest }) => digest && !expected.has(digest))
  return meant ? 'in part' : 'incomplete'
}

function reach({ descriptor, blobs, children }: Survey, reached: Set<Digest>): void {
  reached.add(descriptor.digest)
  for (const { digest } of blobs) reached.add(digest)
  for (const child of children) reach(child, reached)
}

function asRefusal(error: unknown): Refusal {
  if (error instanceof RegistryError) return { reason: error.message }
  throw error
}

function told(error: unknown): Error {
  if (isKind(error, 'invalid')) return invalid(`the bundle is refused: ${error.message}`)
  if (error instanceof RegistryError) return error
  if (error instanceof BrokenArchive) {
    return corrupt(`the bundle is broken: ${error.message}; what came of it is kept for the next attempt`, {
      cause: error,
    })
  }
  publish('cistern:fault', { where: 'blobs', kind: 'internal', message: 'a bundle could not be stored', error })
  const { code, message } = error as NodeJS.ErrnoException
  return unavailable(`the bundle could not be stored: ${code ?? message}`, { cause: error })
}

function sumOf(sizes: ReadonlyMap<Digest, number>): { blobs: number; bytes: number } {
  return { blobs: sizes.size, bytes: [...sizes.values()].reduce((sum, size) => sum + size, 0) }
}
