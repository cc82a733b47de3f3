import { z } from 'zod'
import { type Digest, isDigest } from '../../oci/digest.ts'
import { isTag } from '../../oci/reference.ts'
import { AwsError } from './errors.ts'

export const imageId = z.object({
  imageDigest: z.string().max(256).exactOptional(),
  imageTag: z.string().min(1).max(300).exactOptional(),
})

export const imageIds = z.array(imageId).min(1).max(100)

/** https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ListImagesFilter.html */
export const imageFilter = z.object({
  tagStatus: z.literal(['TAGGED', 'UNTAGGED', 'ANY']).exactOptional(),
  imageStatus: z.literal(['ACTIVE', 'ARCHIVED', 'ACTIVATING', 'ANY']).exactOptional(),
})

export type ImageId = z.output<typeof imageId>

/** What one image of several came to, in the place of what was asked of it. */
export class ImageFailure extends Error {
  override readonly name = 'ImageFailure'
  readonly code: string

  constructor(code: string, reason: string) {
    super(reason)
    this.code = code
  }
}

export const imageMissing = () => new ImageFailure('ImageNotFound', 'Requested image not found')

export const tagMismatch = () =>
  new ImageFailure('ImageTagDoesNotMatchDigest', 'The image tag does not point to the image digest')

export const toldFailure = (imageId: ImageId, { code, message }: ImageFailure) => ({
  imageId,
  failureCode: code,
  failureReason: message,
})

/** What ECR takes for a digest; not each is one of ours. */
export const digestPattern = /^[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+$/

/** As ECR says that a digest is none. */
export const digestReason = (what: 'image' | 'layer'): string =>
  `Invalid request parameters: ${what} digest should satisfy the regex '${digestPattern.source.slice(1, -1)}'`

/** Reads who is meant. Throws `ImageFailure` for what names no image that there could be. */
export function idIn({ imageDigest, imageTag }: ImageId): { digest?: Digest; tag?: string } {
  if (imageDigest === undefined && imageTag === undefined) {
    throw new ImageFailure('MissingDigestAndTag', 'Invalid request parameters: both tag and digest cannot be null')
  }
  if (imageDigest !== undefined && !digestPattern.test(imageDigest)) {
    throw new ImageFailure('InvalidImageDigest', digestReason('image'))
  }
  if (imageTag !== undefined && !isTag(imageTag)) {
    throw new ImageFailure('InvalidImageTag', 'Invalid request parameters: the image tag is none that there can be')
  }
  if (imageDigest !== undefined && !isDigest(imageDigest)) throw imageMissing()
  return { ...(imageDigest !== undefined && { digest: imageDigest }), ...(imageTag !== undefined && { tag: imageTag }) }
}

/** In ECR's words. */
export const imageNotFound = ({ imageDigest, imageTag }: ImageId, repository: string, registryId: string): AwsError =>
  new AwsError(
    'ImageNotFoundException',
    `The image with imageId {imageDigest:'${imageDigest ?? 'null'}', imageTag:'${imageTag ?? 'null'}'} does not exist within the repository with name '${repository}' in the registry with id '${registryId}'`,
  )
