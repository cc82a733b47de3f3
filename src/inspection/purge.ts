import type { Metadata } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import { manifestUnknown, RegistryError } from '../oci/errors.ts'
import type { Deleted, Deletion, Freed } from '../repositories/deletion.ts'
import type { Images } from '../repositories/images.ts'
import { named, type PlaceOf } from '../repositories/named.ts'

export type PurgeOptions = {
  placeOf: PlaceOf
  metadata: Pick<Metadata, 'repositories'>
  images: Images
  deletion: Deletion
}

export type Purged = {
  repository: string
  images: Digest[]
  tags: string[]
  /** Images that stay, for an index that stays lists them. */
  referenced: Digest[]
  freed: Freed
}

/**
 * Takes an image out of the cache, or without a tag and a digest all that a repository holds, with the bytes that nothing
 * else needs. A tag goes alone where its image has other tags, or an index lists it. What was decided about the
 * repository stays. Throws `unknown` for what is not cached.
 */
export async function purge(text: string, options: PurgeOptions): Promise<Purged> {
  const { images, deletion } = options
  const { repository, tag, digest } = await named(text, options.placeOf)
  if (!(await options.metadata.repositories.get(repository))) {
    throw new RegistryError('unknown', 'NAME_UNKNOWN', `nothing of ${repository} is cached`)
  }
  if (digest) {
    if (!(await images.get(repository, digest))) throw manifestUnknown(repository, digest)
    return told(repository, await deletion.images(repository, [digest]))
  }
  if (tag === undefined) return told(repository, await deletion.everything(repository))
  const image = await images.tagged(repository, tag)
  if (!image) throw manifestUnknown(repository, tag)
  const others = (await images.tagsOf(repository, image.digest)).filter((other) => other !== tag)
  const deleted = others.length === 0 ? await deletion.images(repository, [image.digest]) : nothing
  if (deleted.images.size > 0) return told(repository, deleted)
  await deletion.untag(repository, [tag])
  return { ...told(repository, deleted), tags: [tag] }
}

const nothing: Deleted = { images: new Map(), referenced: [], freed: { bytes: 0, objects: 0 } }

const told = (repository: string, { images, referenced, freed }: Deleted): Purged => ({
  repository,
  images: [...images.keys()],
  tags: [...images.values()].flat(),
  referenced: [...referenced],
  freed,
})
