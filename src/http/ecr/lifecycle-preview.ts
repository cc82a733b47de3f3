import { z } from 'zod'
import type { ExpiringImage, Preview } from '../../repositories/previews.ts'
import { invalidParameter } from './errors.ts'
import { type ImageId, imageIds } from './image-ids.ts'
import { nextToken } from './input.ts'
import { pageOf } from './paging.ts'

/** What is wanted of a preview. */
export const previewInput = {
  imageIds: imageIds.exactOptional(),
  filter: z.object({ tagStatus: z.literal(['TAGGED', 'UNTAGGED', 'ANY']).exactOptional() }).exactOptional(),
  nextToken: nextToken.exactOptional(),
  maxResults: z.int().min(1).max(100).exactOptional(),
}

type Wanted = z.output<z.ZodObject<typeof previewInput>>

/** A page of what would expire, and how many images that are in all. Throws `InvalidParameterException`. */
export function resultsOf({ status, expiring }: Preview, { imageIds, filter, ...paging }: Wanted) {
  if (imageIds && (paging.nextToken !== undefined || paging.maxResults !== undefined)) {
    throw invalidParameter('imageIds', 'must not stand beside nextToken or maxResults')
  }
  const isNamed = (image: ExpiringImage) => !imageIds || imageIds.some((id) => names(id, image))
  const wanted = expiring.filter((image) => isNamed(image) && hasStatus(image, filter?.tagStatus))
  const { page, nextToken } = pageOf(wanted, placeOf, paging)
  return {
    previewResults: page.map(resultOf),
    ...(nextToken !== undefined && { nextToken }),
    ...(status === 'COMPLETE' && { summary: { expiringImageTotalCount: expiring.length } }),
  }
}

function names({ imageDigest, imageTag }: ImageId, { digest, tags }: ExpiringImage): boolean {
  if (imageDigest === undefined && imageTag === undefined) return false
  return (imageDigest ?? digest) === digest && (imageTag === undefined || tags.includes(imageTag))
}

function hasStatus({ tags }: ExpiringImage, tagStatus: 'TAGGED' | 'UNTAGGED' | 'ANY' = 'ANY'): boolean {
  return tagStatus === 'ANY' || (tagStatus === 'TAGGED') === tags.length > 0
}

/** Keeps the order in which the images are given, the oldest first. */
const placeOf = ({ pushedAt, digest }: ExpiringImage): string => `${String(pushedAt).padStart(16, '0')} ${digest}`

const resultOf = ({ digest, tags, pushedAt, rulePriority }: ExpiringImage) => ({
  ...(tags.length > 0 && { imageTags: tags }),
  imageDigest: digest,
  imagePushedAt: pushedAt / 1000,
  action: { type: 'EXPIRE' },
  appliedRulePriority: rulePriority,
  storageClass: 'STANDARD',
})
