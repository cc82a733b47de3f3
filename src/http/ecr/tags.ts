import { z } from 'zod'
import type { Repositories } from '../../repositories/repositories.ts'
import type { Settings } from '../../repositories/settings.ts'
import { invalidParameter, repositoryNotFound } from './errors.ts'
import { isRepositoryName } from './input.ts'
import { type Call, type OperationsByName, operation } from './operation.ts'
import { tagKeys, tagList, toldTags, withTags } from './tag-shapes.ts'

export type TagsOptions = { registryId: string; repositories: Repositories; settings: Settings }

const resourceArn = z.string().min(1).max(2048)
const byArn = z.object({ resourceArn })

/** https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-using-tags.html */
export function tagOperations({ registryId, repositories, settings }: TagsOptions): OperationsByName {
  const resource = (input: z.output<typeof byArn>, call: Call) =>
    call.authority.repositoryArn(repositoryIn(input, call))
  return new Map([
    [
      'TagResource',
      operation({
        action: 'ecr:TagResource',
        input: byArn.extend({ tags: tagList }),
        resource,
        run: async ({ tags, ...input }, call) => {
          const repository = repositoryIn(input, call)
          const changed = await settings.change(repository, (before) => ({
            ...before,
            tags: withTags(before.tags ?? [], tags),
          }))
          if (!changed) throw repositoryNotFound(repository, registryId)
          return {}
        },
      }),
    ],
    [
      'UntagResource',
      operation({
        action: 'ecr:UntagResource',
        input: byArn.extend({ tagKeys }),
        resource,
        run: async ({ tagKeys, ...input }, call) => {
          const repository = repositoryIn(input, call)
          const going = new Set(tagKeys)
          const changed = await settings.change(repository, ({ tags = [], ...before }) => ({
            ...before,
            tags: tags.filter(([key]) => !going.has(key)),
          }))
          if (!changed) throw repositoryNotFound(repository, registryId)
          return {}
        },
      }),
    ],
    [
      'ListTagsForResource',
      operation({
        action: 'ecr:ListTagsForResource',
        input: byArn,
        resource,
        run: async (input, call) => {
          const repository = repositoryIn(input, call)
          if (!(await repositories.has(repository))) throw repositoryNotFound(repository, registryId)
          const { tags } = await settings.of(repository)
          return { tags: toldTags(tags) }
        },
      }),
    ],
  ])
}

/** Only repositories of this registry have tags. */
function repositoryIn({ resourceArn }: z.output<typeof byArn>, { authority }: Call): string {
  const own = authority.repositoryArn('')
  const repository = resourceArn.startsWith(own) ? resourceArn.slice(own.length) : ''
  if (!isRepositoryName(repository)) throw invalidParameter('resourceArn', 'Invalid ARN')
  return repository
}
