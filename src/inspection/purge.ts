import type { BlobStore } from '../blobs/blob-store.ts'
import { linkKey, type Metadata } from '../metadata/metadata.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { manifestUnknown, nameUnknown } from '../oci/errors.ts'
import { referenceText } from '../oci/reference.ts'
import type { Deletion } from '../repositories/deletion.ts'
import type { Images } from '../repositories/images.ts'
import { named, type PlaceOf } from '../repositories/named.ts'

export type PurgeOptions = {
  placeOf: PlaceOf
  metadata: Pick<Metadata, 'repositories' | 'links'>
  blobs: Pick<BlobStore, 'stat'>
  images: Images
  deletion: Deletion
}

export type Purged = {
  repository: string
  images: Digest[]
  tags: string[]
  /** Images that stay, for an index that stays lists them. */
  referenced: Digest[]
  /** What went from the disk. */
  freed: { bytes: number; objects: number }
}

/**
 * Takes an image out of the cache, or without a tag and a digest all that a repository holds, with the bytes that nothing
 * else needs. A tag that is not the only one of its image goes alone. What was decided about the repository stays.
 * Throws `unknown` for what is not cached.
 */
export async function purge(text: string, options: PurgeOptions): Promise<Purged> {
  const { metadata, images, deletion } = options
  const { repository, tag, digest } = await named(text, options.placeOf)
  if (!(await metadata.repositories.get(repository))) throw nameUnknown(repository)
  const before = await sizesOf(repository, options)
  const result = { repository, images: [] as Digest[], tags: [] as string[], referenced: [] as Digest[] }
  if (tag === undefined && !digest) {
    for await (const image of images.list(repository)) {
      result.images.push(image.digest)
      result.tags.push(...(await images.tagsOf(repository, image.digest)))
    }
    await deletion.everything(repository)
  } else {
    const image = digest ? await images.get(repository, digest) : await images.tagged(repository, tag ?? '')
    const reference = digest ? { repository, digest } : { repository, tag: tag ?? '' }
    if (!image) throw manifestUnknown(repository, referenceText(reference))
    const others = (await images.tagsOf(repository, image.digest)).filter((other) => other !== tag)
    if (!digest && tag !== undefined && others.length > 0) {
      await deletion.untag(repository, [tag])
      result.tags.push(tag)
    } else {
      const deleted = await deletion.images(repository, [image.digest])
      result.images.push(...deleted.images.keys())
      result.tags.push(...[...deleted.images.values()].flat())
      result.referenced.push(...deleted.referenced)
    }
  }
  return { ...result, freed: await freedOf(before, options) }
}

/** Of all that the repository holds, as far as it is on disk. */
async function sizesOf(repository: string, { metadata, blobs }: PurgeOptions): Promise<Map<Digest, number>> {
  const sizes = new Map<Digest, number>()
  const prefix = linkKey(repository, '' as Digest)
  for await (const [key, { needs = [] }] of metadata.links.entries({ prefix })) {
    for (const digest of [key.slice(prefix.length), ...needs]) {
      const info = isDigest(digest) ? await blobs.stat(digest) : undefined
      if (info) sizes.set(info.digest, info.size)
    }
  }
  return sizes
}

async function freedOf(before: ReadonlyMap<Digest, number>, { blobs }: PurgeOptions): Promise<Purged['freed']> {
  const freed = { bytes: 0, objects: 0 }
  for (const [digest, size] of before) {
    if (await blobs.stat(digest)) continue
    freed.bytes += size
    freed.objects++
  }
  return freed
}
