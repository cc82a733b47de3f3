import { z } from 'zod'
import { type Digest, isDigest } from '../../oci/digest.ts'
import { isKind } from '../../oci/errors.ts'
import { isTag } from '../../oci/reference.ts'
import type { Repositories } from '../../repositories/repositories.ts'
import type { RuleBook } from '../../rules/rule-book.ts'
import { type Name, nameOf } from '../oci/names.ts'
import { AwsError, repositoryNotFound } from './errors.ts'
import { inputError, repositoryName } from './input.ts'
import { assertMay, type Call, type Operation } from './operation.ts'

export type OnRepositoryOptions = { registryId: string; book: RuleBook; repositories: Repositories }

export const inRepository = z.object({ repositoryName })

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

/** What an operation on a repository is made of. */
type Definition<S extends typeof inRepository> = {
  action: string
  input: S
  /** Whether the repository has to be there already. */
  held: boolean
  run: (input: z.output<S>, name: Name, call: Call) => Promise<object> | object
}

/**
 * An operation on the repository that a name leads to, which is the same one as for who pulls by that name. Throws
 * `RepositoryNotFoundException` for a name that leads nowhere.
 */
export function onRepository<S extends typeof inRepository>(
  { registryId, book, repositories }: OnRepositoryOptions,
  { action, input, held, run }: Definition<S>,
): Operation {
  const has = (repository: string) => repositories.has(repository)
  return async (given, call) => {
    const parsed = input.safeParse(given)
    if (!parsed.success) throw inputError(parsed.error.issues, given)
    const { repositoryName: written } = parsed.data
    const name = await nameOf(written, book, has).catch((error: unknown) => {
      if (isKind(error, 'unknown')) return undefined
      throw error
    })
    call.exchange.facts.repository = name?.repository ?? written
    await assertMay(call, action, call.authority.repositoryArn(name?.repository ?? written))
    if (!name || (held && !(await has(name.repository)))) throw repositoryNotFound(written, registryId)
    return run(parsed.data, name, call)
  }
}

/** Throws what `RepositoryNotFoundException` stands for where a rule keeps the repository out. */
export async function orRepositoryMissing<T>(asking: Promise<T>, name: Name, registryId: string): Promise<T> {
  try {
    return await asking
  } catch (error) {
    throw isKind(error, 'unknown') && error.code === 'NAME_UNKNOWN'
      ? repositoryNotFound(name.written, registryId)
      : error
  }
}

/** In ECR's words. */
export const imageNotFound = ({ imageDigest, imageTag }: ImageId, repository: string, registryId: string): AwsError =>
  new AwsError(
    'ImageNotFoundException',
    `The image with imageId {imageDigest:'${imageDigest ?? 'null'}', imageTag:'${imageTag ?? 'null'}'} does not exist within the repository with name '${repository}' in the registry with id '${registryId}'`,
  )
