import type { Dialect } from './rule.ts'

type Known = { dialect: Dialect; realmHosts?: readonly string[] }

const dockerHub: Known = { dialect: 'docker-hub', realmHosts: ['https://auth.docker.io'] }
const gcr: Known = { dialect: 'gcr' }

const byHost = new Map<string, Known>([
  ['index.docker.io', dockerHub],
  ['registry-1.docker.io', dockerHub],
  ['ghcr.io', { dialect: 'ghcr' }],
  ['quay.io', { dialect: 'quay' }],
  ['public.ecr.aws', { dialect: 'ecr-public' }],
  ['gcr.io', gcr],
  ['registry.gitlab.com', { dialect: 'gitlab', realmHosts: ['https://gitlab.com'] }],
  ['nvcr.io', { dialect: 'nvcr', realmHosts: ['https://authn.nvidia.com'] }],
])

const byHostPattern: readonly [RegExp, Known][] = [
  [/\.(?:gcr\.io|pkg\.dev)$/, gcr],
  [/^\d{12}\.dkr[.-]ecr(?:-fips)?\.[a-z0-9-]+\.(?:amazonaws\.com(?:\.cn)?|on\.aws)$/, { dialect: 'ecr' }],
]

const known = (upstream: string): Known | undefined => {
  const { host } = new URL(upstream)
  return byHost.get(host) ?? byHostPattern.find(([pattern]) => pattern.test(host))?.[1]
}

/** The dialect of an upstream, given as an origin. What stands in for `docker.io` is spoken to as Docker Hub is. */
export const inferDialect = (upstream: string, prefix: string): Dialect =>
  known(upstream)?.dialect ?? (prefix === 'docker.io' ? 'docker-hub' : 'generic')

/** The origins of the token servers that a well-known upstream is known to send its clients to. */
export const knownRealmHosts = (upstream: string): readonly string[] => known(upstream)?.realmHosts ?? []
