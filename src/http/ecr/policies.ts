import { z } from 'zod'
import { type PolicyKind, parsePolicy } from '../../access/policy-document.ts'
import { PolicyError } from '../../access/policy-error.ts'
import type { RegistrySettings, RepositorySettings } from '../../metadata/settings.ts'
import type { Repositories } from '../../repositories/repositories.ts'
import type { Settings } from '../../repositories/settings.ts'
import { AwsError, invalidParameter, repositoryNotFound, validation } from './errors.ts'
import { repositoryName } from './input.ts'
import { type Call, type OperationsByName, operation } from './operation.ts'

export type PoliciesOptions = {
  registryId: string
  repositories: Repositories
  settings: Settings
}

const policyText = z.string().max(10_240)
const byName = z.object({ repositoryName })
const arnOf = ({ repositoryName }: z.output<typeof byName>, { authority }: Call) =>
  authority.repositoryArn(repositoryName)

/**
 * https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-policies.html
 * https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry-permissions.html
 */
export function policyOperations(options: PoliciesOptions): OperationsByName {
  const { registryId, repositories, settings } = options
  const registryPolicy = ({ policy }: RegistrySettings): string => {
    if (policy !== undefined) return policy
    const message = `Registry policy does not exist in the registry with id '${registryId}'`
    throw new AwsError('RegistryPolicyNotFoundException', message)
  }
  const repositoryPolicy = (repositoryName: string, { policy }: RepositorySettings): string => {
    if (policy !== undefined) return policy
    const message = `Repository policy does not exist for the repository with name '${repositoryName}' in the registry with id '${registryId}'`
    throw new AwsError('RepositoryPolicyNotFoundException', message)
  }
  return new Map([
    [
      'SetRepositoryPolicy',
      operation({
        action: 'ecr:SetRepositoryPolicy',
        input: byName.extend({ policyText, force: z.boolean().exactOptional() }),
        resource: arnOf,
        run: async ({ repositoryName, policyText, force = false }, call) => {
          const repositoryPolicy = read(policyText, 'repository')
          const locksOut = async () =>
            (await call.authority.refusal(call.caller, 'ecr:SetRepositoryPolicy', arnOf({ repositoryName }, call), {
              repositoryPolicy,
            })) !== undefined
          if (!force && (await locksOut())) {
            throw invalidPolicy('repository', 'it would keep you from setting another one; force sets it all the same')
          }
          const changed = await settings.change(repositoryName, (before) => ({ ...before, policy: policyText }))
          if (!changed) throw repositoryNotFound(repositoryName, registryId)
          return { registryId, repositoryName, policyText }
        },
      }),
    ],
    [
      'GetRepositoryPolicy',
      operation({
        action: 'ecr:GetRepositoryPolicy',
        input: byName,
        resource: arnOf,
        run: async ({ repositoryName }) => {
          if (!(await repositories.has(repositoryName))) throw repositoryNotFound(repositoryName, registryId)
          const policyText = repositoryPolicy(repositoryName, await settings.of(repositoryName))
          return { registryId, repositoryName, policyText }
        },
      }),
    ],
    [
      'DeleteRepositoryPolicy',
      operation({
        action: 'ecr:DeleteRepositoryPolicy',
        input: byName,
        resource: arnOf,
        run: async ({ repositoryName }) => {
          let policyText = ''
          const changed = await settings.change(repositoryName, (before) => {
            policyText = repositoryPolicy(repositoryName, before)
            const { policy: _, ...after } = before
            return after
          })
          if (!changed) throw repositoryNotFound(repositoryName, registryId)
          return { registryId, repositoryName, policyText }
        },
      }),
    ],
    [
      'PutRegistryPolicy',
      operation({
        action: 'ecr:PutRegistryPolicy',
        input: z.object({ policyText }),
        run: async ({ policyText }, { authority, caller }) => {
          const registryPolicy = read(policyText, 'registry')
          const refusal = await authority.refusal(caller, 'ecr:PutRegistryPolicy', '*', { registryPolicy })
          if (refusal !== undefined) throw validation('The policy would keep you from putting another one')
          await settings.changeRegistry((before) => ({ ...before, policy: policyText }))
          return { registryId, policyText }
        },
      }),
    ],
    [
      'GetRegistryPolicy',
      operation({
        action: 'ecr:GetRegistryPolicy',
        input: z.object({}),
        run: async () => ({ registryId, policyText: registryPolicy(await settings.registry()) }),
      }),
    ],
    [
      'DeleteRegistryPolicy',
      operation({
        action: 'ecr:DeleteRegistryPolicy',
        input: z.object({}),
        run: async () => {
          let policyText = ''
          await settings.changeRegistry((before) => {
            policyText = registryPolicy(before)
            const { policy: _, ...after } = before
            return after
          })
          return { registryId, policyText }
        },
      }),
    ],
  ])
}

function read(text: string, kind: Exclude<PolicyKind, 'identity'>) {
  try {
    return parsePolicy(text, kind)
  } catch (error) {
    throw error instanceof PolicyError ? invalidPolicy(kind, error.message) : error
  }
}

/** As Amazon ECR says it, and then why. */
function invalidPolicy(kind: Exclude<PolicyKind, 'identity'>, why: string): AwsError {
  const { code, message } = invalidParameter('PolicyText', `Invalid ${kind} policy provided`)
  return new AwsError(code, `${message}: ${why}`)
}
