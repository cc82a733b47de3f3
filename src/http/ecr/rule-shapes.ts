import type { z } from 'zod'
import type { ApiRule } from '../../rules/api-rule.ts'
import { parseOrigin, registryOrigin } from '../../rules/origin.ts'
import type { Rule } from '../../rules/rule.ts'
import type { ManagedRule } from '../../rules/rules-in-force.ts'
import { AwsError, invalidParameter, validation } from './errors.ts'
import { type upstreamRegistry, upstreamRegistryOf, upstreamUrlOf } from './upstreams.ts'

export type NewRuleOptions = {
  /** Whether rules made by the API may lead to an origin. */
  mayLeadTo: (origin: string) => boolean
  /** Milliseconds since the epoch. */
  clock: () => number
}

type NewRule = {
  ecrRepositoryPrefix: string
  upstreamRegistryUrl: string
  upstreamRegistry?: z.output<typeof upstreamRegistry>
  upstreamRepositoryPrefix?: string
  credentialArn?: string
  customRoleArn?: string
}

/** Throws `AwsError` for members that do not go together, and for an upstream that no rule of the API may lead to. */
export function newRule(input: NewRule, { mayLeadTo, clock }: NewRuleOptions): ApiRule {
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

/** A rule as it is told; those of the configuration file have no dates. */
export function whole({ kind, rule }: ManagedRule, registryId: string) {
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

export const updatedAt = ({ kind, rule }: ManagedRule) => (kind === 'api' ? { updatedAt: rule.updatedAt / 1000 } : {})
