import { type CredentialSource, type Rule, upstreamHost } from '../rules/rule.ts'
import { AnonymousCredentials } from './anonymous.ts'
import type { Credentials, LocalSecrets } from './credentials.ts'
import { DockerConfigCredentials } from './docker-config.ts'
import { ecrCredentials } from './ecr.ts'
import { secretsManagerCredentials } from './secrets-manager.ts'
import { PasswordFileCredentials, StaticCredentials } from './static.ts'

/** The accounts of a rule at its upstream; without any, the anonymous one. */
export const accountsOf = (rule: Rule, local?: LocalSecrets): Credentials[] =>
  (rule.credentials ?? [rule.credential]).map((source) => credentialsOf(source, upstreamHost(rule), local))

/** The credentials that a rule names, for its upstream's host. Opens nothing until they are asked for. */
export function credentialsOf(
  source: CredentialSource | undefined,
  upstreamHost: string,
  local?: LocalSecrets,
): Credentials {
  if (source === undefined) return new AnonymousCredentials()
  if ('password' in source) return new StaticCredentials(source.username, source.password)
  if ('passwordFile' in source) return new PasswordFileCredentials(source.username, source.passwordFile)
  if ('secretArn' in source) return secretsManagerCredentials(source.secretArn, { local })
  if ('dockerConfig' in source) return new DockerConfigCredentials(source.dockerConfig, upstreamHost)
  return ecrCredentials(upstreamHost, source.ecr)
}
