import { plainRule } from './plain-rule.ts'
import type { Rule } from './rule.ts'

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
  return plainRule({ prefix, source: 'builtin', upstream: `https://${host}`, upstreamRepositoryPrefix: 'ROOT' })
}
