import type { Digest } from '../oci/digest.ts'
import { isWhole, type Survey } from '../transfer/holdings.ts'

/** How much of an image is here. */
export type Held = {
  digest: Digest
  mediaType: string
  whole: boolean
  /** Blobs that are not here, of those manifests that are. */
  missing: number
  /** Of an index: what it lists for platforms. */
  platforms?: { platform: string; digest: Digest; whole: boolean }[]
}

export function heldOf(survey: Survey): Held {
  const { digest, mediaType } = survey.descriptor
  const { manifests } = survey.content
  const whole = new Set(survey.children.filter(isWhole).map((child) => child.descriptor.digest))
  const platforms = manifests.flatMap(({ digest, platform, about }) =>
    platform === undefined || about ? [] : [{ platform, digest, whole: whole.has(digest) }],
  )
  const missing = new Set(flat(survey).flatMap((each) => each.missing)).size
  return { digest, mediaType, whole: isWhole(survey), missing, ...(manifests.length > 0 && { platforms }) }
}

/** Whether somebody can pull it without upstream: of an index, at least for one platform. */
export const isPullable = (survey: Survey): boolean =>
  survey.content.manifests.length === 0
    ? isWhole(survey)
    : survey.children.some((child) => !child.listed.about && isPullable(child))

/** What is not here of an image, and which of `digests` it is not. */
export function lackedBy(survey: Survey | undefined, digests: readonly (Digest | undefined)[]): Digest[] {
  const parts = survey ? flat(survey).flatMap(({ missing, absent }) => [...missing, ...absent.map(digestIn)]) : []
  const others = digests.filter((digest) => digest !== undefined && digest !== survey?.descriptor.digest)
  return [...new Set([...others, ...parts])] as Digest[]
}

const flat = (survey: Survey): Survey[] => [survey, ...survey.children.flatMap(flat)]

const digestIn = ({ digest }: { digest: Digest }): Digest => digest
