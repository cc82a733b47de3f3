import type { z } from 'zod'
import { type Digest, isDigest } from '../../oci/digest.ts'
import type { Image, Images } from '../../repositories/images.ts'
import { invalidParameter } from './errors.ts'
import {
  ImageFailure,
  type ImageId,
  idIn,
  imageFilter,
  imageIds,
  imageMissing,
  imageNotFound,
  tagMismatch,
} from './image-ids.ts'
import { nextToken, pageSize } from './input.ts'
import { inRepository, type OnRepositoryOptions, onRepository } from './on-repository.ts'
import type { OperationsByName } from './operation.ts'
import { defaultPageSize, keyBefore, tokenAfter } from './paging.ts'

export type ImagesOptions = OnRepositoryOptions & {
  images: Images
  /** When an image was last pulled, in milliseconds since the epoch, as far as that is known. */
  pulledAt: (repository: string, digest: Digest) => Promise<number | undefined>
}

type Filter = z.output<typeof imageFilter>

/** An image with its tags, as it is listed. */
type Tagged = { image: Image; tags: readonly string[] }

const paging = { nextToken: nextToken.exactOptional(), maxResults: pageSize.exactOptional() }

/** What a repository holds. Images come in the order of their digests, and the tags of each in theirs. */
export function imageOperations(options: ImagesOptions): OperationsByName {
  const { images } = options
  return new Map([
    [
      'ListImages',
      onRepository(options, {
        action: 'ecr:ListImages',
        held: true,
        input: inRepository.extend({ filter: imageFilter.exactOptional(), ...paging }),
        run: async ({ filter = {}, nextToken, maxResults = defaultPageSize }, { repository }) => {
          const after = positionIn(nextToken)
          const imageIds: { imageDigest: Digest; imageTag?: string }[] = []
          for await (const id of idsOf(tagged(images, repository, filter, after.digest), after)) {
            const last = imageIds.at(-1)
            if (last && imageIds.length === maxResults) {
              return { imageIds, nextToken: tokenAfter(`${last.imageDigest} ${last.imageTag ?? ''}`) }
            }
            imageIds.push(id)
          }
          return { imageIds }
        },
      }),
    ],
    [
      'DescribeImages',
      onRepository(options, {
        action: 'ecr:DescribeImages',
        held: true,
        input: inRepository.extend({
          imageIds: imageIds.exactOptional(),
          filter: imageFilter.exactOptional(),
          ...paging,
        }),
        run: async ({ imageIds, filter = {}, nextToken, maxResults }, { repository }) => {
          if (imageIds) {
            if (nextToken !== undefined || maxResults !== undefined) {
              throw invalidParameter('imageIds', 'must not stand beside nextToken or maxResults')
            }
            const wanted = await Promise.all(imageIds.map((id) => found(images, repository, id, options.registryId)))
            const distinct = new Map(wanted.map((image) => [image.digest, image]))
            const details: object[] = []
            for (const image of distinct.values()) {
              details.push(await detailOf(repository, await withTags(images, repository, image), options))
            }
            return { imageDetails: details }
          }
          const after = positionIn(nextToken)
          const imageDetails: { imageDigest: Digest }[] = []
          for await (const each of tagged(images, repository, filter, after.digest)) {
            if (each.image.digest === after.digest) continue
            const last = imageDetails.at(-1)
            if (last && imageDetails.length === (maxResults ?? defaultPageSize)) {
              return { imageDetails, nextToken: tokenAfter(`${last.imageDigest} `) }
            }
            imageDetails.push(await detailOf(repository, each, options))
          }
          return { imageDetails }
        },
      }),
    ],
  ])
}

/** Where the page before ended: at a digest, and a tag of it. */
function positionIn(token: string | undefined): { digest?: Digest; tag: string } {
  const key = keyBefore(token)
  if (key === undefined) return { tag: '' }
  const [digest = '', tag = ''] = key.split(' ', 2)
  if (!isDigest(digest)) throw invalidParameter('nextToken', 'must be a token that was given before')
  return { digest, tag }
}

/** Those that pass the filter. What a cache holds is active. */
async function* tagged(images: Images, repository: string, filter: Filter, from?: Digest): AsyncIterable<Tagged> {
  const { tagStatus = 'ANY', imageStatus = 'ACTIVE' } = filter
  if (imageStatus !== 'ACTIVE' && imageStatus !== 'ANY') return
  for await (const image of images.list(repository, from)) {
    const each = await withTags(images, repository, image)
    const status = each.tags.length > 0 ? 'TAGGED' : 'UNTAGGED'
    if (tagStatus === 'ANY' || tagStatus === status) yield each
  }
}

/** One for each tag, and one for an image without; of the image that the page before ended with, those that are left. */
async function* idsOf(listed: AsyncIterable<Tagged>, after: { digest?: Digest; tag: string }) {
  for await (const { image, tags } of listed) {
    const { digest: imageDigest } = image
    const begun = imageDigest === after.digest
    if (tags.length === 0 && !begun) yield { imageDigest }
    for (const imageTag of tags) if (!begun || imageTag > after.tag) yield { imageDigest, imageTag }
  }
}

const withTags = async (images: Images, repository: string, image: Image): Promise<Tagged> => ({
  image,
  tags: await images.tagsOf(repository, image.digest),
})

/** What is wrong with an id that could be one's. */
const absences = ['ImageNotFound', 'ImageTagDoesNotMatchDigest']

/** Throws `ImageNotFoundException`, and `InvalidParameterException` for what names no image. */
async function found(images: Images, repository: string, id: ImageId, registryId: string): Promise<Image> {
  try {
    return await imageOf(images, repository, id)
  } catch (error) {
    if (!(error instanceof ImageFailure)) throw error
    if (absences.includes(error.code)) throw imageNotFound(id, repository, registryId)
    throw invalidParameter('imageIds', error.message)
  }
}

/** What a repository holds by an id. Throws `ImageFailure`. */
export async function imageOf(images: Images, repository: string, id: ImageId): Promise<Image> {
  const { digest, tag } = idIn(id)
  const image =
    tag !== undefined ? await images.tagged(repository, tag) : digest && (await images.get(repository, digest))
  if (!image) throw imageMissing()
  if (digest !== undefined && image.digest !== digest) throw tagMismatch()
  return image
}

/** https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageDetail.html */
async function detailOf(
  repositoryName: string,
  { image, tags }: Tagged,
  { registryId, images, pulledAt }: ImagesOptions,
) {
  const { digest, mediaType, heldSince } = image
  const { size, artifactType, subject } = await images.facts(repositoryName, image)
  const lastPullAt = await pulledAt(repositoryName, digest)
  return {
    registryId,
    repositoryName,
    imageDigest: digest,
    ...(tags.length > 0 && { imageTags: tags }),
    ...(size !== undefined && { imageSizeInBytes: size }),
    imagePushedAt: heldSince / 1000,
    ...(lastPullAt !== undefined && { lastRecordedPullTime: lastPullAt / 1000 }),
    imageManifestMediaType: mediaType,
    ...(artifactType !== undefined && { artifactMediaType: artifactType }),
    ...(subject !== undefined && { subjectManifestDigest: subject }),
    imageStatus: 'ACTIVE',
  }
}
