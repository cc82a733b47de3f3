import type { Config } from '../config.ts'
import { faultOfSecret } from '../credentials/secrets-manager.ts'
import type { EcrOptions } from '../http/ecr/app.ts'
import type { RulesInForce } from '../rules/rules-in-force.ts'
import type { Secrets } from '../secrets/secrets.ts'
import { isPublicOrigin } from '../upstream/addresses.ts'
import { checkUpstream } from './upstreams.ts'

/** What the control API manages, and what it may lead to. */
export function controlOf(
  config: Config,
  rules: RulesInForce,
  secrets: Secrets,
): Omit<EcrOptions, 'authentication' | 'authority' | 'tokens'> {
  const { registry, publicUrl, allowPrivateUpstreams } = config
  return {
    rules,
    secrets,
    registry,
    publicUrl,
    clock: Date.now,
    mayLeadTo: (origin) => allowPrivateUpstreams || isPublicOrigin(origin),
    faultOfSecret: (arn) => faultOfSecret(arn, secrets),
    checkUpstream: (rule) => checkUpstream(rule, config, secrets),
  }
}
