import type { Dialect, Rule } from './rule.ts'

/** How tags are kept where nothing else is said: 10 minutes. */
export const defaultTagTtlMs = 600_000

/** How long the absence of something is remembered where nothing else is said: 30 seconds. */
export const defaultNegativeTtlMs = 30_000

/** The public registries that are served without any configuration, anonymously. */
export const builtInRules: readonly Rule[] = [
  builtIn('docker.io', 'docker-hub', { host: 'registry-1.docker.io', realmHosts: ['https://auth.docker.io'] }),
  builtIn('ghcr.io', 'ghcr'),
  builtIn('quay.io', 'quay'),
  builtIn('registry.k8s.io', 'generic'),
  builtIn('public.ecr.aws', 'ecr-public'),
  builtIn('mcr.microsoft.com', 'generic'),
  builtIn('gcr.io', 'gcr'),
  builtIn('registry.gitlab.com', 'gitlab', { realmHosts: ['https://gitlab.com'] }),
  builtIn('cgr.dev', 'generic'),
  builtIn('nvcr.io', 'nvcr', { realmHosts: ['https://authn.nvidia.com'] }),
]

function builtIn(prefix: string, dialect: Dialect, { host = prefix, realmHosts = [] as string[] } = {}): Rule {
  return {
    prefix,
    source: 'builtin',
    upstream: `https://${host}`,
    upstreamRepositoryPrefix: 'ROOT',
    realmHosts,
    dialect,
    tagTtl: [{ pattern: '*', ttlMs: defaultTagTtlMs }],
    negativeTtlMs: defaultNegativeTtlMs,
    onUnknownTag: 'unknown',
    repositories: { allow: [], deny: [] },
  }
}
