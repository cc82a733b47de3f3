import { plainRule } from './plain-rule.ts'
import type { Rule } from './rule.ts'

/** A pull-through cache rule as it was made by the ECR API. Instants are milliseconds since the epoch. */
export type ApiRule = {
  readonly prefix: string
  /** An origin. */
  readonly upstream: string
  readonly upstreamRepositoryPrefix: string
  readonly credentialArn?: string
  /** Kept and told; roles are assumed by nobody here. */
  readonly customRoleArn?: string
  readonly createdAt: number
  readonly updatedAt: number
}

/** What it means for pulls. A private ECR registry is asked with the AWS credentials of the process. */
export function ruleOfApi({ prefix, upstream, upstreamRepositoryPrefix, credentialArn }: ApiRule): Rule {
  const rule = plainRule({ prefix, source: 'api', upstream, upstreamRepositoryPrefix })
  if (credentialArn !== undefined) return { ...rule, credential: { secretArn: credentialArn } }
  return rule.dialect === 'ecr' ? { ...rule, credential: { ecr: {} } } : rule
}
