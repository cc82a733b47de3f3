import { z } from 'zod'
import { type LifecyclePolicy, parseLifecyclePolicy } from '../../lifecycle/policy.ts'
import { LifecyclePolicyError } from '../../lifecycle/policy-error.ts'
import type { RepositorySettings } from '../../metadata/settings.ts'
import type { Expiry } from '../../repositories/expiry.ts'
import type { Previews } from '../../repositories/previews.ts'
import type { Repositories } from '../../repositories/repositories.ts'
import type { Settings } from '../../repositories/settings.ts'
import { AwsError, invalidParameter, repositoryNotFound } from './errors.ts'
import { repositoryName } from './input.ts'
import { previewInput, resultsOf } from './lifecycle-preview.ts'
import { type Call, type OperationsByName, operation } from './operation.ts'

export type LifecycleOptions = {
  registryId: string
  repositories: Repositories
  settings: Settings
  expiry: Pick<Expiry, 'soon'>
  previews: Pick<Previews, 'start' | 'get'>
}

const lifecyclePolicyText = z.string().min(100).max(30_720)
const byName = z.object({ repositoryName })
const resource = ({ repositoryName }: z.output<typeof byName>, { authority }: Call) =>
  authority.repositoryArn(repositoryName)

/** https://docs.aws.amazon.com/AmazonECR/latest/userguide/LifecyclePolicies.html */
export function lifecycleOperations(options: LifecycleOptions): OperationsByName {
  const { registryId, repositories, settings, expiry, previews } = options
  const notFound = (what: string, subject: string, repositoryName: string) => {
    const where = `for the repository with name '${repositoryName}' in the registry with id '${registryId}'`
    return new AwsError(`${what}NotFoundException`, `${subject} does not exist ${where}`)
  }
  const told = async (repositoryName: string) => {
    if (!(await repositories.has(repositoryName))) throw repositoryNotFound(repositoryName, registryId)
    return toldOf(repositoryName, await settings.of(repositoryName))
  }
  const toldOf = (repositoryName: string, { lifecyclePolicy, lifecycleEvaluatedAt: at }: RepositorySettings) => {
    if (lifecyclePolicy === undefined) throw notFound('LifecyclePolicy', 'Lifecycle policy', repositoryName)
    const evaluated = at !== undefined && { lastEvaluatedAt: at / 1000 }
    return { registryId, repositoryName, lifecyclePolicyText: lifecyclePolicy, ...evaluated }
  }
  return new Map([
    [
      'PutLifecyclePolicy',
      operation({
        action: 'ecr:PutLifecyclePolicy',
        input: byName.extend({ lifecyclePolicyText }),
        resource,
        run: async ({ repositoryName, lifecyclePolicyText }) => {
          read(lifecyclePolicyText)
          const changed = await settings.change(repositoryName, ({ lifecycleEvaluatedAt: _, ...before }) => ({
            ...before,
            lifecyclePolicy: lifecyclePolicyText,
          }))
          if (!changed) throw repositoryNotFound(repositoryName, registryId)
          void expiry.soon(repositoryName)
          return { registryId, repositoryName, lifecyclePolicyText }
        },
      }),
    ],
    [
      'GetLifecyclePolicy',
      operation({
        action: 'ecr:GetLifecyclePolicy',
        input: byName,
        resource,
        run: ({ repositoryName }) => told(repositoryName),
      }),
    ],
    [
      'DeleteLifecyclePolicy',
      operation({
        action: 'ecr:DeleteLifecyclePolicy',
        input: byName,
        resource,
        run: async ({ repositoryName }) => {
          let deleted = {}
          const changed = await settings.change(repositoryName, (before) => {
            deleted = toldOf(repositoryName, before)
            const { lifecyclePolicy: _, lifecycleEvaluatedAt: __, ...after } = before
            return after
          })
          if (!changed) throw repositoryNotFound(repositoryName, registryId)
          return deleted
        },
      }),
    ],
    [
      'StartLifecyclePolicyPreview',
      operation({
        action: 'ecr:StartLifecyclePolicyPreview',
        input: byName.extend({ lifecyclePolicyText: lifecyclePolicyText.exactOptional() }),
        resource,
        run: async ({ repositoryName, lifecyclePolicyText: given }) => {
          if (!(await repositories.has(repositoryName))) throw repositoryNotFound(repositoryName, registryId)
          const text = given ?? (await told(repositoryName)).lifecyclePolicyText
          const started = previews.start(repositoryName, text, read(text))
          if (started === 'too many') throw new AwsError('ThrottlingException', 'Rate exceeded')
          if (started === 'running') {
            const message = 'The previous lifecycle policy preview request has not completed. Wait and try again.'
            throw new AwsError('LifecyclePolicyPreviewInProgressException', message)
          }
          return { registryId, repositoryName, lifecyclePolicyText: text, status: 'IN_PROGRESS' }
        },
      }),
    ],
    [
      'GetLifecyclePolicyPreview',
      operation({
        action: 'ecr:GetLifecyclePolicyPreview',
        input: byName.extend(previewInput),
        resource,
        run: async ({ repositoryName, ...wanted }) => {
          if (!(await repositories.has(repositoryName))) throw repositoryNotFound(repositoryName, registryId)
          const preview = previews.get(repositoryName)
          if (!preview) throw notFound('LifecyclePolicyPreview', 'Lifecycle policy preview', repositoryName)
          const { policyText, status } = preview
          return {
            ...{ registryId, repositoryName, lifecyclePolicyText: policyText, status },
            ...resultsOf(preview, wanted),
          }
        },
      }),
    ],
  ])
}

/** Throws what Amazon ECR says of a policy that is none. */
function read(text: string): LifecyclePolicy {
  try {
    return parseLifecyclePolicy(text)
  } catch (error) {
    throw error instanceof LifecyclePolicyError ? invalidParameter('LifecyclePolicyText', error.message) : error
  }
}
