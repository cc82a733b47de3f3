import { type CredentialSource, type Rule, upstreamHost } from '../rules/rule.ts'
import { AnonymousCredentials } from './anonymous.ts'
import type { Way } from './aws-handler.ts'
import type { Credentials, LocalSecrets } from './credentials.ts'
import { DockerConfigCredentials } from './docker-config.ts'
import { ecrCredentials } from './ecr.ts'
import { type SecretOptions, secretsManagerCredentials } from './secrets-manager.ts'
import { PasswordFileCredentials, StaticCredentials } from './static.ts'

/** Where credentials come from besides a rule. */
export type Surroundings = {
  local?: LocalSecrets
  /** What the environment says of proxies; a rule's own word counts for more. */
  proxies?: Omit<Way, 'ca'>
}

/** The accounts of a rule at its upstream; without any, the anonymous one. AWS is asked by the way to the upstream. */
export function accountsOf(rule: Rule, { local, proxies }: Surroundings = {}): Credentials[] {
  const way = () => wayOf(rule, proxies)
  return (rule.credentials ?? [rule.credential]).map((source) =>
    credentialsOf(source, upstreamHost(rule), { local, way }),
  )
}

/** What the proxy of a rule wants to see, where it wants something. */
export function proxyCredentialsOf({ proxy }: Rule): Credentials | undefined {
  if (proxy === undefined || proxy === 'none' || proxy.passwordFile === undefined) return undefined
  return new PasswordFileCredentials(proxy.username ?? '', proxy.passwordFile)
}

type SourceOptions = Pick<SecretOptions, 'local' | 'way'>

/** The credentials that a rule names, for its upstream's host. Opens nothing until they are asked for. */
export function credentialsOf(
  source: CredentialSource | undefined,
  upstreamHost: string,
  options: SourceOptions = {},
): Credentials {
  if (source === undefined) return new AnonymousCredentials()
  if ('password' in source) return new StaticCredentials(source.username, source.password)
  if ('passwordFile' in source) return new PasswordFileCredentials(source.username, source.passwordFile)
  if ('secretArn' in source) return secretsManagerCredentials(source.secretArn, options)
  if ('dockerConfig' in source) return new DockerConfigCredentials(source.dockerConfig, upstreamHost)
  return ecrCredentials(upstreamHost, source.ecr, options)
}

async function wayOf(rule: Rule, usual: Way = {}): Promise<Way> {
  const ca = rule.ca === undefined ? {} : { ca: rule.ca }
  if (rule.proxy === 'none') return ca
  if (rule.proxy === undefined) return { ...usual, ...ca }
  const url = new URL(rule.proxy.url)
  const credential = await proxyCredentialsOf(rule)?.get()
  if (credential) Object.assign(url, credential)
  return { httpProxy: url.href, ...ca }
}
