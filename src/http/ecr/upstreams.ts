import { z } from 'zod'
import { inferDialect } from '../../rules/dialects.ts'
import type { Dialect } from '../../rules/rule.ts'

/** The names that Amazon ECR has for upstreams. */
export const upstreamRegistry = z.literal([
  'ecr',
  'ecr-public',
  'quay',
  'k8s',
  'docker-hub',
  'github-container-registry',
  'azure-container-registry',
  'gitlab-container-registry',
  'chainguard',
])

type UpstreamRegistry = z.output<typeof upstreamRegistry>

const byDialect: Partial<Record<Dialect, UpstreamRegistry>> = {
  ecr: 'ecr',
  'ecr-public': 'ecr-public',
  quay: 'quay',
  'docker-hub': 'docker-hub',
  ghcr: 'github-container-registry',
  gitlab: 'gitlab-container-registry',
}

/** What ECR calls an upstream, given as an origin; `undefined` for those that it does not know. */
export function upstreamRegistryOf(upstream: string): UpstreamRegistry | undefined {
  const { host } = new URL(upstream)
  if (host === 'registry.k8s.io') return 'k8s'
  if (host === 'cgr.dev') return 'chainguard'
  if (host.endsWith('.azurecr.io')) return 'azure-container-registry'
  return byDialect[inferDialect(upstream, '')]
}

/** An upstream as the API has it: HTTPS is not spelled out. */
export const upstreamUrlOf = (upstream: string): string => upstream.replace(/^https:\/\//, '')
