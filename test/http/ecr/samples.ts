import type { Sample } from './hostile.ts'

const digest = `sha256:${'1'.repeat(64)}`
const policy = {
  Version: '2012-10-17',
  Statement: [{ Sid: 'fuzz', Effect: 'Allow', Principal: '*', Action: ['ecr:BatchGetImage'] }],
}
const lifecyclePolicy = {
  rules: [
    {
      rulePriority: 1,
      selection: { tagStatus: 'untagged', countType: 'sinceImagePushed', countUnit: 'days', countNumber: 10_000 },
      action: { type: 'expire' },
    },
  ],
}

/** Values that operations take, by the names of members. */
const samples: Record<string, unknown> = {
  registryId: '000000000000',
  registryIds: '000000000000',
  repositoryName: 'up.test/app',
  repositoryNames: 'up.test/app',
  ecrRepositoryPrefix: 'fuzz',
  ecrRepositoryPrefixes: 'up.test',
  upstreamRegistry: 'quay',
  upstreamRepositoryPrefix: 'ROOT',
  resourceArn: 'arn:aws:ecr:us-east-1:000000000000:repository/up.test/app',
  imageTag: 'latest',
  layerDigest: digest,
  layerDigests: digest,
  imageTagMutability: 'MUTABLE',
  filterType: 'WILDCARD',
  tagStatus: 'ANY',
  appliedFor: 'PULL_THROUGH_CACHE',
  prefix: 'fuzz',
  prefixes: 'fuzz',
  encryptionType: 'AES256',
  policyText: JSON.stringify(policy),
  repositoryPolicy: JSON.stringify(policy),
  lifecyclePolicy: JSON.stringify(lifecyclePolicy),
  lifecyclePolicyText: JSON.stringify(lifecyclePolicy),
  Name: 'ecr-pullthroughcache/fuzz',
  SecretId: 'ecr-pullthroughcache/fuzz',
  SecretString: '{"username":"fuzz","accessToken":"canary"}',
}

/** Fills a shape with what is required in it; `more` goes before what is known here. */
export function samplerOf(more: Record<string, string | (() => string)>): Sample {
  const sample: Sample = (name, shape) => {
    switch (shape.kind) {
      case 'list':
        return [sample(name, shape.of)]
      case 'structure': {
        const members = [...shape.members].filter(([, { required }]) => required)
        return Object.fromEntries(members.map(([member, { shape: of }]) => [member, sample(member, of)]))
      }
      case 'number':
        return 1
      case 'boolean':
        return false
      default: {
        const own = more[name]
        return (typeof own === 'function' ? own() : own) ?? samples[name] ?? 'fuzz'
      }
    }
  }
  return sample
}
