import { z } from 'zod'
import { ruleOfApi } from '../../rules/api-rule.ts'
import { type ManagedRule, RuleConflict, type RulesInForce } from '../../rules/rules-in-force.ts'
import { AwsError, validation } from './errors.ts'
import { credentialArn, customRoleArn, nextToken, pageSize, prefix } from './input.ts'
import { type Operation, type OperationsByName, operation } from './operation.ts'
import { pageOf } from './paging.ts'
import { assertUsable, failureOf, type RuleCheckOptions } from './rule-checks.ts'
import { type NewRuleOptions, newRule, updatedAt, whole } from './rule-shapes.ts'
import { upstreamRegistry } from './upstreams.ts'

export type RulesOptions = NewRuleOptions & RuleCheckOptions & { registryId: string; rules: RulesInForce }

/** https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache.html */
export function pullThroughRuleOperations(options: RulesOptions): OperationsByName {
  const { registryId, rules, clock } = options
  const byPrefix = z.object({ ecrRepositoryPrefix: prefix })
  const found = (prefix: string): ManagedRule => {
    const managed = rules.get(prefix)
    if (!managed) throw new RuleConflict('missing', prefix)
    return managed
  }
  const operations: [string, Operation][] = [
    [
      'CreatePullThroughCacheRule',
      operation({
        action: 'ecr:CreatePullThroughCacheRule',
        input: byPrefix.extend({
          upstreamRegistryUrl: z.string().min(1).max(256),
          upstreamRegistry: upstreamRegistry.exactOptional(),
          upstreamRepositoryPrefix: prefix.exactOptional(),
          credentialArn: credentialArn.exactOptional(),
          customRoleArn: customRoleArn.exactOptional(),
        }),
        run: async (input, call) => {
          const rule = newRule(input, options)
          if (rules.get(rule.prefix)) throw new RuleConflict('exists', rule.prefix)
          if (input.credentialArn !== undefined) await assertUsable(input.credentialArn, call, options)
          return whole({ kind: 'api', rule: await rules.create(rule) }, registryId)
        },
      }),
    ],
    [
      'DescribePullThroughCacheRules',
      operation({
        action: 'ecr:DescribePullThroughCacheRules',
        input: z.object({
          ecrRepositoryPrefixes: z.array(prefix).min(1).max(100).exactOptional(),
          nextToken: nextToken.exactOptional(),
          maxResults: pageSize.exactOptional(),
        }),
        run: ({ ecrRepositoryPrefixes: prefixes, ...paging }) => {
          const wanted = prefixes ? [...new Set(prefixes)].sort().map(found) : rules.list()
          const { page, nextToken } = pageOf(wanted, ({ rule }) => rule.prefix, paging)
          const told = page.map((managed) => ({ ...whole(managed, registryId), ...updatedAt(managed) }))
          return { pullThroughCacheRules: told, ...(nextToken !== undefined && { nextToken }) }
        },
      }),
    ],
    [
      'UpdatePullThroughCacheRule',
      operation({
        action: 'ecr:UpdatePullThroughCacheRule',
        input: byPrefix.extend({
          credentialArn: credentialArn.exactOptional(),
          customRoleArn: customRoleArn.exactOptional(),
        }),
        run: async ({ ecrRepositoryPrefix, ...change }, call) => {
          if (Object.keys(change).length === 0) throw validation('Either credentialArn or customRoleArn is required')
          if (found(ecrRepositoryPrefix).kind === 'file') throw new RuleConflict('fixed', ecrRepositoryPrefix)
          if (change.credentialArn !== undefined) await assertUsable(change.credentialArn, call, options)
          const rule = await rules.update(ecrRepositoryPrefix, { ...change, updatedAt: clock() })
          const managed: ManagedRule = { kind: 'api', rule }
          const { upstreamRegistryUrl: _, upstreamRegistry: __, createdAt: ___, ...told } = whole(managed, registryId)
          return { ...told, ...updatedAt(managed) }
        },
      }),
    ],
    [
      'DeletePullThroughCacheRule',
      operation({
        action: 'ecr:DeletePullThroughCacheRule',
        input: byPrefix,
        run: async ({ ecrRepositoryPrefix }) => {
          const rule = await rules.delete(ecrRepositoryPrefix)
          const { upstreamRegistry: _, ...told } = whole({ kind: 'api', rule }, registryId)
          return told
        },
      }),
    ],
    [
      'ValidatePullThroughCacheRule',
      operation({
        action: 'ecr:ValidatePullThroughCacheRule',
        input: byPrefix,
        run: async ({ ecrRepositoryPrefix }) => {
          const managed = found(ecrRepositoryPrefix)
          const failure = await failureOf(managed.kind === 'api' ? ruleOfApi(managed.rule) : managed.rule, options)
          const { createdAt: _, upstreamRegistry: __, ...told } = whole(managed, registryId)
          return { ...told, isValid: failure === undefined, ...(failure !== undefined && { failure }) }
        },
      }),
    ],
  ]
  return new Map(operations.map(([name, run]) => [name, telling(run, registryId)]))
}

const telling =
  (run: Operation, registryId: string): Operation =>
  async (input, call) => {
    try {
      return await run(input, call)
    } catch (error) {
      throw error instanceof RuleConflict ? conflictError(error, registryId) : error
    }
  }

function conflictError({ reason, prefix }: RuleConflict, registryId: string): AwsError {
  const rule = `The pull through cache rule with Amazon ECR repository prefix '${prefix}'`
  const where = `in the registry with id '${registryId}'`
  switch (reason) {
    case 'exists':
      return new AwsError('PullThroughCacheRuleAlreadyExistsException', `${rule} already exists ${where}`)
    case 'missing':
      return new AwsError('PullThroughCacheRuleNotFoundException', `${rule} does not exist ${where}`)
    case 'fixed':
      return validation(`${rule} is one of the configuration file, and is changed there`)
    case 'limit':
      return new AwsError('LimitExceededException', `There are as many rules as there may be ${where}`)
  }
}
