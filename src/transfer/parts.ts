import type { Digest } from '../oci/digest.ts'
import { isIndex } from '../oci/manifest.ts'
import type { Survey } from './holdings.ts'
import { chosen } from './platform.ts'

/** Something that is meant and not here: a digest, or a platform that an index does not even list. */
export type Lack = { digest?: Digest; platform?: string }

/** Of an image, what is meant. */
export type Part = {
  /** What is here of it, with sizes in bytes: whole images only. Manifests come before what they list. */
  held: Map<Digest, number>
  /** The manifests among that; the image's own comes first. */
  manifests: Digest[]
  /** Those of an index that are held. */
  platforms: string[]
  missing: Lack[]
}

/**
 * The part of an image that is for certain platforms; for all where none are named. Of an index that is its own
 * manifest, verbatim, and the images for them, of which one platform at least has to be there. Attestations of a chosen
 * image belong to it where they are held: clients that pull for one platform do not fetch them.
 */
export function partOf({ descriptor, content, ...survey }: Survey, platforms: readonly string[] = []): Part {
  const held = new Map([[descriptor.digest, descriptor.size]])
  for (const { digest, size } of survey.blobs) held.set(digest, size)
  const missing = survey.missing.map((digest): Lack => ({ digest }))
  const part: Part = { held, manifests: [descriptor.digest], platforms: [], missing }
  if (!isIndex(descriptor.mediaType)) return part
  const meant = chosen(content.manifests, platforms)
  if (meant.length === 0) part.missing.push(...platforms.map((platform) => ({ platform })))
  for (const { digest, platform, about } of meant) {
    const survey = child(digest)
    const own = survey && partOf(survey)
    if (own && own.missing.length === 0) {
      for (const [digest, size] of own.held) held.set(digest, size)
      part.manifests.push(...own.manifests.filter((manifest) => !part.manifests.includes(manifest)))
      if (platform !== undefined && !about) part.platforms.push(platform)
    } else if (!about || platforms.length === 0) {
      const lacks = own ? own.missing : [{ digest }]
      part.missing.push(...lacks.map((lack) => ({ ...(platform !== undefined && { platform }), ...lack })))
    }
  }
  return part

  function child(digest: Digest): Survey | undefined {
    return survey.children.find((each) => each.descriptor.digest === digest)
  }
}

/** Whether somebody could pull of it: an image is of no use in part, an index is. */
export const isUsable = ({ manifests, missing }: Part): boolean => missing.length === 0 || manifests.length > 1

/** What is missing, and how much that is where not all of it is named. */
export type Lacks = { missing: Lack[]; missingCount?: number }

const maxNamed = 100

/** Names as many as somebody could look at. */
export const named = (missing: readonly Lack[]): Lacks => ({
  missing: missing.slice(0, maxNamed),
  ...(missing.length > maxNamed && { missingCount: missing.length }),
})
