import { z } from 'zod'
import type { PolicyDocument } from '../../access/policy-document.ts'
import type { RepositoryTemplate } from '../../metadata/settings.ts'
import type { Settings } from '../../repositories/settings.ts'
import { AwsError } from './errors.ts'
import { nextToken, pageSize, templatePrefix } from './input.ts'
import { assertMay, type Call, type Operation, type OperationsByName, operation } from './operation.ts'
import { pageOf } from './paging.ts'
import {
  changedBy,
  invalidPolicy,
  newTemplate,
  policyIn,
  type TemplateInput,
  templateChange,
  templateOf,
} from './template-shapes.ts'

export type TemplatesOptions = {
  registryId: string
  settings: Pick<Settings, 'templates'>
  /** Milliseconds since the epoch. */
  clock: () => number
}

const maxTemplates = 50

/** https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-creation-templates.html */
export function templateOperations({ registryId, settings, clock }: TemplatesOptions): OperationsByName {
  const { templates } = settings
  const told = (prefix: string, template: RepositoryTemplate | undefined) => {
    if (!template) throw conflict(prefix, 'NotFound', 'does not exist')
    return { registryId, repositoryCreationTemplate: templateOf(prefix, template) }
  }
  const conflict = (prefix: string, kind: 'NotFound' | 'AlreadyExists', what: string) => {
    const message = `The repository creation template with prefix '${prefix}' ${what} in the registry with id '${registryId}'`
    return new AwsError(`Template${kind}Exception`, message)
  }
  const operations: [string, Operation][] = [
    [
      'CreateRepositoryCreationTemplate',
      operation({
        action: 'ecr:CreateRepositoryCreationTemplate',
        input: newTemplate,
        run: async (input, call) => {
          const { prefix } = input
          await assertMayDecide(input, call)
          const at = clock()
          const template = changedBy(input, { settings: {}, appliedFor: [], createdAt: at, updatedAt: at }, at)
          const there = await templates.list()
          if (there.length >= maxTemplates && there.every(([other]) => other !== prefix)) {
            const message = `There are as many templates as there may be in the registry with id '${registryId}'`
            throw new AwsError('LimitExceededException', message)
          }
          if (!(await templates.create(prefix, template))) throw conflict(prefix, 'AlreadyExists', 'already exists')
          return told(prefix, template)
        },
      }),
    ],
    [
      'DescribeRepositoryCreationTemplates',
      operation({
        action: 'ecr:DescribeRepositoryCreationTemplates',
        input: z.object({
          prefixes: z.array(templatePrefix).min(1).max(100).exactOptional(),
          nextToken: nextToken.exactOptional(),
          maxResults: pageSize.exactOptional(),
        }),
        run: async ({ prefixes, ...paging }) => {
          const there = await templates.list()
          const wanted = there.filter(([prefix]) => prefixes?.includes(prefix) ?? true)
          const { page, nextToken } = pageOf(wanted, ([prefix]) => prefix, paging)
          return {
            registryId,
            repositoryCreationTemplates: page.map(([prefix, template]) => templateOf(prefix, template)),
            ...(nextToken !== undefined && { nextToken }),
          }
        },
      }),
    ],
    [
      'UpdateRepositoryCreationTemplate',
      operation({
        action: 'ecr:UpdateRepositoryCreationTemplate',
        input: templateChange,
        run: async (input, call) => {
          const { prefix } = input
          await assertMayDecide(input, call)
          return told(prefix, await templates.change(prefix, (before) => changedBy(input, before, clock())))
        },
      }),
    ],
    [
      'DeleteRepositoryCreationTemplate',
      operation({
        action: 'ecr:DeleteRepositoryCreationTemplate',
        input: z.object({ prefix: templatePrefix }),
        run: async ({ prefix }) => told(prefix, await templates.delete(prefix)),
      }),
    ],
  ]
  return new Map(operations)
}

/**
 * Who decides something for repositories to come has to be allowed to decide it for those that are there:
 * https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-creation-templates-create.html
 */
async function assertMayDecide(input: TemplateInput, call: Call): Promise<void> {
  const { prefix, repositoryPolicy, lifecyclePolicy, resourceTags } = input
  const resource = call.authority.repositoryArn(prefix === 'ROOT' ? '*' : `${prefix}/*`)
  if (repositoryPolicy !== undefined) await assertMay(call, 'ecr:SetRepositoryPolicy', resource)
  if (repositoryPolicy) await assertNoLockOut(policyIn(repositoryPolicy), resource, call)
  if (lifecyclePolicy !== undefined) await assertMay(call, 'ecr:PutLifecyclePolicy', resource)
  if (resourceTags !== undefined) await assertMay(call, 'ecr:TagResource', resource)
}

/** A policy that is set can be forced by who knows what that does to one repository; here it would be all to come. */
async function assertNoLockOut(repositoryPolicy: PolicyDocument, resource: string, call: Call): Promise<void> {
  const { authority, caller } = call
  const refusal = await authority.refusal(caller, 'ecr:SetRepositoryPolicy', resource, { repositoryPolicy })
  if (refusal !== undefined) throw invalidPolicy('it would keep you from setting another one')
}
