import { z } from 'zod'
import type { SecretFault } from '../../credentials/credentials.ts'
import { isKind } from '../../oci/errors.ts'
import { type ApiRule, ruleOfApi } from '../../rules/api-rule.ts'
import { parseOrigin, registryOrigin } from '../../rules/origin.ts'
import type { Rule } from '../../rules/rule.ts'
import { type ManagedRule, RuleConflict, type RulesInForce } from '../../rules/rules-in-force.ts'
import { AwsError, invalidParameter, validation } from './errors.ts'
import { credentialArn, customRoleArn, nextToken, pageSize, prefix } from './input.ts'
import { assertMay, type Call, type Operation, type OperationsByName, operation } from './operation.ts'
import { pageOf } from './paging.ts'
import { upstreamRegistry, upstreamRegistryOf, upstreamUrlOf } from './upstreams.ts'

export type RulesOptions = {
  registryId: string
  rules: RulesInForce
  /** Whether rules made by the API may lead to an origin. */
  mayLeadTo: (origin: string) => boolean
  /** The whole ARN of a secret that is a credential, or what is wrong with it as one. */
  lookUpSecret: (arn: string) => Promise<{ arn: string } | { fault: SecretFault }>
  /** Whether the upstream of a rule is there and takes its credential. Throws `RegistryError` where it does not. */
  checkUpstream: (rule: Rule) => Promise<void>
  /** Milliseconds since the epoch. */
  clock: () => number
}

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

type NewRule = {
  ecrRepositoryPrefix: string
  upstreamRegistryUrl: string
  upstreamRegistry?: z.output<typeof upstreamRegistry>
  upstreamRepositoryPrefix?: string
  credentialArn?: string
  customRoleArn?: string
}

function newRule(input: NewRule, { mayLeadTo, clock }: RulesOptions): ApiRule {
  const { ecrRepositoryPrefix, upstreamRepositoryPrefix = 'ROOT', credentialArn, customRoleArn } = input
  const origin = parseOrigin(input.upstreamRegistryUrl)
  if (origin === undefined) throw invalidParameter('upstreamRegistryUrl', 'must be host[:port]')
  const upstream = registryOrigin(origin)
  if (!mayLeadTo(upstream)) {
    const message =
      'The upstream registry is not supported: plain HTTP and addresses that are not public are not allowed'
    throw new AwsError('UnsupportedUpstreamRegistryException', message)
  }
  const known = upstreamRegistryOf(upstream)
  if (input.upstreamRegistry !== undefined && known !== undefined && input.upstreamRegistry !== known) {
    throw validation(`The upstream registry of this URL is ${known}`)
  }
  if (ecrRepositoryPrefix === 'ROOT' && upstreamRepositoryPrefix !== 'ROOT') {
    throw validation('An upstreamRepositoryPrefix needs an ecrRepositoryPrefix other than ROOT')
  }
  const at = clock()
  return {
    prefix: ecrRepositoryPrefix,
    upstream,
    upstreamRepositoryPrefix,
    ...(credentialArn !== undefined && { credentialArn }),
    ...(customRoleArn !== undefined && { customRoleArn }),
    createdAt: at,
    updatedAt: at,
  }
}

const secretErrors = {
  missing: ['SecretNotFoundException', 'The ARN of the secret specified in the pull through cache rule was not found.'],
  inaccessible: [
    'UnableToAccessSecretException',
    'The secret is unable to be accessed. Verify the resource permissions for the secret and try again.',
  ],
  unreadable: [
    'UnableToDecryptSecretValueException',
    'The secret is accessible but is unable to be decrypted. Verify that it holds username and accessToken and try again.',
  ],
} as const

/**
 * A rule sends its secret to whatever upstream it names. AWS knows its few upstreams; here it takes the right to read
 * the secret to give it to one. Policies name secrets by their whole ARNs, so that a shorter form finds none.
 */
async function assertUsable(arn: string, call: Call, { lookUpSecret }: RulesOptions): Promise<void> {
  await assertMay(call, 'secretsmanager:GetSecretValue', arn)
  const found = await lookUpSecret(arn)
  if ('arn' in found && found.arn === arn) return
  const [code, message] = secretErrors['fault' in found ? found.fault : 'missing']
  throw new AwsError(code, message)
}

/** Public upstreams are not asked, as at AWS. */
async function failureOf(rule: Rule, { checkUpstream, lookUpSecret }: RulesOptions): Promise<string | undefined> {
  const { credential } = rule
  if (!credential && !rule.credentials) return undefined
  const secret = credential && 'secretArn' in credential && (await lookUpSecret(credential.secretArn))
  if (secret && 'fault' in secret) return secretErrors[secret.fault][1]
  try {
    await checkUpstream(rule)
    return undefined
  } catch (error) {
    if (isKind(error, 'denied')) {
      return 'The authentication to the upstream registry failed. Verify that the credentials provided in the pull through cache rule are correct, and try again.'
    }
    return 'The upstream registry cannot be reached, or does not answer as a registry does.'
  }
}

/** A rule as it is told; those of the configuration file have no dates. */
function whole({ kind, rule }: ManagedRule, registryId: string) {
  const upstreamRegistry = upstreamRegistryOf(rule.upstream)
  const arn = kind === 'api' ? rule.credentialArn : arnIn(rule)
  return {
    ecrRepositoryPrefix: rule.prefix,
    upstreamRegistryUrl: upstreamUrlOf(rule.upstream),
    upstreamRepositoryPrefix: rule.upstreamRepositoryPrefix,
    registryId,
    ...(upstreamRegistry !== undefined && { upstreamRegistry }),
    ...(arn !== undefined && { credentialArn: arn }),
    ...(kind === 'api' && { createdAt: rule.createdAt / 1000 }),
    ...(kind === 'api' && rule.customRoleArn !== undefined && { customRoleArn: rule.customRoleArn }),
  }
}

const arnIn = ({ credential }: Rule): string | undefined =>
  credential && 'secretArn' in credential ? credential.secretArn : undefined

const updatedAt = ({ kind, rule }: ManagedRule) => (kind === 'api' ? { updatedAt: rule.updatedAt / 1000 } : {})

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
