import { z } from 'zod'
import type { RepositorySettings } from '../../metadata/settings.ts'
import { holdsImages, type Removal, removeRepository } from '../../repositories/removal.ts'
import type { Repositories } from '../../repositories/repositories.ts'
import type { Settings } from '../../repositories/settings.ts'
import { AwsError, invalidParameter, repositoryNotFound } from './errors.ts'
import { nextToken, pageSize, repositoryName } from './input.ts'
import { assertMay, type Call, type Operation, type OperationsByName, operation } from './operation.ts'
import { defaultPageSize, keyBefore, type PageRequest, tokenAfter } from './paging.ts'
import {
  encryptionConfiguration,
  encryptionIn,
  imageScanningConfiguration,
  imageTagMutability,
  imageTagMutabilityExclusionFilters,
  mutabilityIn,
  mutabilityOf,
  repositoryOf,
  scanningOf,
} from './repository-shapes.ts'
import { tagList, withTags } from './tag-shapes.ts'

export type RepositoriesOptions = Omit<Removal, 'settings'> & {
  registryId: string
  publicUrl: string
  repositories: Repositories
  settings: Settings
}

/** https://docs.aws.amazon.com/AmazonECR/latest/userguide/Repositories.html */
export function repositoryOperations(options: RepositoriesOptions): OperationsByName {
  const { registryId, repositories, settings, clock } = options
  const byName = z.object({ repositoryName })
  const resource = ({ repositoryName }: { repositoryName: string }, { authority }: Call) =>
    authority.repositoryArn(repositoryName)
  const told = async (name: string, { authority }: Call) => {
    const record = await repositories.get(name)
    if (!record) return undefined
    return repositoryOf(name, record, await settings.of(name), { ...options, arn: authority.repositoryArn(name) })
  }
  const found = async (name: string, call: Call) => {
    const repository = await told(name, call)
    if (!repository) throw repositoryNotFound(name, registryId)
    return repository
  }
  const page = async ({ nextToken, maxResults = defaultPageSize }: PageRequest, call: Call) => {
    const last = keyBefore(nextToken)
    const listed = await repositories.list({ n: maxResults, ...(last !== undefined && { last }) })
    const end = listed.repositories.at(-1)
    const page = await Promise.all(listed.repositories.map((name) => told(name, call)))
    return {
      repositories: page.filter((repository) => repository !== undefined), // one may be deleted meanwhile
      ...(listed.more && end !== undefined && { nextToken: tokenAfter(end) }),
    }
  }
  const change = async (name: string, change: (before: RepositorySettings) => RepositorySettings) => {
    const after = await settings.change(name, change)
    if (!after) throw repositoryNotFound(name, registryId)
    return { told: { registryId, repositoryName: name }, after }
  }
  const operations: [string, Operation][] = [
    [
      'CreateRepository',
      operation({
        action: 'ecr:CreateRepository',
        input: byName.extend({
          tags: tagList.exactOptional(),
          imageTagMutability: imageTagMutability.exactOptional(),
          imageTagMutabilityExclusionFilters: imageTagMutabilityExclusionFilters.exactOptional(),
          imageScanningConfiguration: imageScanningConfiguration.exactOptional(),
          encryptionConfiguration: encryptionConfiguration.exactOptional(),
        }),
        resource,
        run: async ({ repositoryName: name, tags = [], ...input }, call) => {
          if (tags.length > 0) await assertMay(call, 'ecr:TagResource', call.authority.repositoryArn(name))
          const created = await settings.create(name, {
            createdAt: clock(),
            ...mutabilityIn(input),
            ...encryptionIn(input.encryptionConfiguration),
            ...input.imageScanningConfiguration,
            ...(tags.length > 0 && { tags: withTags([], tags) }),
          })
          if (!created) {
            const message = `The repository with name '${name}' already exists in the registry with id '${registryId}'`
            throw new AwsError('RepositoryAlreadyExistsException', message)
          }
          return { repository: await found(name, call) }
        },
      }),
    ],
    [
      'DescribeRepositories',
      operation({
        action: 'ecr:DescribeRepositories',
        input: z.object({
          repositoryNames: z.array(repositoryName).min(1).max(100).exactOptional(),
          nextToken: nextToken.exactOptional(),
          maxResults: pageSize.exactOptional(),
        }),
        resource: ({ repositoryNames: names = ['*'] }, { authority }) =>
          names.map((name) => authority.repositoryArn(name)),
        run: async ({ repositoryNames: names, nextToken, maxResults }, call) => {
          if (!names) return page({ nextToken, maxResults }, call)
          if (nextToken !== undefined || maxResults !== undefined) {
            throw invalidParameter('repositoryNames', 'must not stand beside nextToken or maxResults')
          }
          return { repositories: await Promise.all([...new Set(names)].map((name) => found(name, call))) }
        },
      }),
    ],
    [
      'DeleteRepository',
      operation({
        action: 'ecr:DeleteRepository',
        input: byName.extend({ force: z.boolean().exactOptional() }),
        resource,
        run: async ({ repositoryName: name, force = false }, call) => {
          const repository = await found(name, call)
          if (!force && (await holdsImages(name, options))) {
            const message = `The repository with name '${name}' in registry with id '${registryId}' cannot be deleted because it still contains images`
            throw new AwsError('RepositoryNotEmptyException', message)
          }
          await removeRepository(name, options)
          return { repository }
        },
      }),
    ],
    [
      'PutImageTagMutability',
      operation({
        action: 'ecr:PutImageTagMutability',
        input: byName.extend({
          imageTagMutability,
          imageTagMutabilityExclusionFilters: imageTagMutabilityExclusionFilters.exactOptional(),
        }),
        resource,
        run: async ({ repositoryName, ...input }) => {
          const { told, after } = await change(repositoryName, ({ mutabilityExclusions: _, ...before }) => ({
            ...before,
            ...mutabilityIn(input),
          }))
          return { ...told, ...mutabilityOf(after) }
        },
      }),
    ],
    [
      'PutImageScanningConfiguration',
      operation({
        action: 'ecr:PutImageScanningConfiguration',
        input: byName.extend({ imageScanningConfiguration }),
        resource,
        run: async ({ repositoryName, imageScanningConfiguration: { scanOnPush = false } }) => {
          const { told, after } = await change(repositoryName, (before) => ({ ...before, scanOnPush }))
          return { ...told, ...scanningOf(after) }
        },
      }),
    ],
  ]
  return new Map(operations)
}
