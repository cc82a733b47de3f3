import { inferDialect, knownRealmHosts } from './dialects.ts'
import type { Rule } from './rule.ts'

const minuteMs = 60_000

/** The public registries that are served without any configuration, anonymously. */
export const builtInRules: readonly Rule[] = [
  builtIn('docker.io', 'registry-1.docker.io'),
  builtIn('ghcr.io'),
  builtIn('quay.io'),
  builtIn('registry.k8s.io'),
  builtIn('public.ecr.aws'),
  builtIn('mcr.microsoft.com'),
  builtIn('gcr.io'),
  builtIn('registry.gitlab.com'),
  builtIn('cgr.dev'),
  builtIn('nvcr.io'),
]

function builtIn(prefix: string, host = prefix): Rule {
  const upstream = `https://${host}`
  return {
    prefix,
    source: 'builtin',
    upstream,
    fallThroughOnUnknown: false,
    upstreamRepositoryPrefix: 'ROOT',
    realmHosts: knownRealmHosts(upstream),
    dialect: inferDialect(upstream, prefix),
    tagTtl: [{ pattern: '*', ttlMs: 10 * minuteMs }],
    staleWhileRevalidateMs: 0,
    negativeTtlMs: minuteMs / 2,
    onUnknownTag: 'unknown',
    budget: { reserve: 0 },
    repositories: { allow: [], deny: [] },
  }
}
