import type { Holds } from '../async/holds.ts'
import type { BlobStore } from '../blobs/blob-store.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { maxManifestSize, mediaTypes } from '../oci/manifest.ts'
import type { Body } from '../oci/registry.ts'
import { type Entry, TarBody } from './bundle-writer.ts'
import { type Inventory, printedInventory } from './inventory.ts'
import { blobPath, containerdName, files, layoutVersion, refName } from './layout.ts'
import { type Incomplete, type Plan, type PlannedImage, type PlanOptions, planBundle, type Wanted } from './plan.ts'

export type ExportOptions = PlanOptions & { blobs: BlobStore; holds: Holds<Digest> }

export type ExportRequest = Wanted & {
  /** What whoever gets the bundle has already. */
  since: ReadonlySet<Digest>
}

export type ExportReport = {
  /** Absent where no bundle is made: something is not whole, and `partial` was not asked for or does not help. */
  inventory?: Inventory
  incomplete: Incomplete[]
  /** Of the blobs in the bundle. */
  bytes: number
}

/** A report, and the bundle that it is about. The owner disposes the bundle, sent or not. */
export type Exported = { report: ExportReport; bundle?: Body }

/**
 * A bundle of what is cached. Asks no upstream, and counts as no use. Each blob is hashed while it is sent: sending
 * rejects with `corrupt` where one is damaged, and what was sent until then is no bundle. Throws `unknown` where a name
 * selects nothing, or all of them do.
 */
export async function exportBundle(request: ExportRequest, options: ExportOptions): Promise<Exported> {
  const { blobs, holds } = options
  using parts = new DisposableStack()
  const hold = parts.use(holds.begin())
  const plan = await planBundle(request, options, hold)
  const { images, incomplete } = plan
  if (images.length + incomplete.length === 0) throw nothing()
  if (images.length === 0 || (incomplete.length > 0 && !request.partial)) return { report: { incomplete, bytes: 0 } }
  const index = indexOf(plan)
  if (index.length > maxManifestSize) throw tooMany(images.length)
  const { inventory, bytes } = inventoryOf(plan, request.since)
  const entries: Entry[] = [
    { path: files.layout, bytes: Buffer.from(JSON.stringify({ imageLayoutVersion: layoutVersion })) },
    { path: files.index, bytes: index },
    { path: files.inventory, bytes: Buffer.from(printedInventory(inventory)) },
    ...Object.entries(inventory.blobs).map(
      ([digest, size]): Entry => ({ path: blobPath(digest as Digest), digest: digest as Digest, size }),
    ),
  ]
  return { report: { inventory, incomplete, bytes }, bundle: new TarBody(entries, blobs, parts.move()) }
}

const indexOf = ({ images }: Plan): Buffer =>
  Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: images.map(({ descriptor, reference }) => ({
        ...descriptor,
        annotations: { [refName]: reference, [containerdName]: reference },
      })),
    }),
  )

function inventoryOf({ images }: Plan, since: ReadonlySet<Digest>): { inventory: Inventory; bytes: number } {
  const inventory: Inventory = { version: 1, images: images.map(summaryOf), blobs: {}, base: {} }
  let bytes = 0
  for (const { part } of images) {
    for (const [digest, size] of part.held) {
      if (Object.hasOwn(inventory.blobs, digest)) continue
      const target = since.has(digest) ? inventory.base : inventory.blobs
      target[digest] = size
      if (target === inventory.blobs) bytes += size
    }
  }
  return { inventory, bytes }
}

function summaryOf({ reference, descriptor, part, referrers }: PlannedImage): Inventory['images'][number] {
  const { digest, mediaType } = descriptor
  return {
    reference,
    digest,
    mediaType,
    size: [...part.held.values()].reduce((sum, size) => sum + size, 0),
    ...(part.platforms.length > 0 && { platforms: part.platforms }),
    ...(part.missing.length > 0 && { incomplete: true }),
    ...(referrers.length > 0 && { referrers }),
  }
}

const nothing = () => new RegistryError('unknown', 'NAME_UNKNOWN', 'nothing is cached that could be exported')

const tooMany = (count: number) =>
  new RegistryError('invalid', 'UNSUPPORTED', `${count} images are more than one bundle may list: select fewer`)
