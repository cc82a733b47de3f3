import { ecrOperations } from '../../../src/http/ecr/operations.ts'
import { type ModelledOperation, operationOf } from '../../support/aws-model.ts'
import type { Sample } from './hostile.ts'

const policy = {
  Version: '2012-10-17',
  Statement: [{ Sid: 'fuzz', Effect: 'Allow', Principal: '*', Action: ['ecr:BatchGetImage'] }],
}
const registryPolicy = {
  Version: '2012-10-17',
  Statement: [{ Sid: 'fuzz', Effect: 'Allow', Principal: '*', Action: ['ecr:BatchGetImage'], Resource: '*' }],
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

/** Values that operations take, by the names of members, or of an operation and its member. */
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
  imageTagMutability: 'MUTABLE',
  filterType: 'WILDCARD',
  tagStatus: 'ANY',
  scanFrequency: 'MANUAL',
  appliedFor: 'PULL_THROUGH_CACHE',
  prefix: 'fuzz',
  prefixes: 'fuzz',
  encryptionType: 'AES256',
  'PutRegistryPolicy.policyText': JSON.stringify(registryPolicy),
  policyText: JSON.stringify(policy),
  repositoryPolicy: JSON.stringify(policy),
  lifecyclePolicy: JSON.stringify(lifecyclePolicy),
  lifecyclePolicyText: JSON.stringify(lifecyclePolicy),
  Name: 'ecr-pullthroughcache/fuzz',
  SecretId: 'ecr-pullthroughcache/fuzz',
  SecretString: '{"username":"fuzz","accessToken":"canary"}',
}

/** What operations need that their models leave to choose. */
const needed: Record<string, readonly string[]> = {
  CreateSecret: ['SecretString'],
  PutSecretValue: ['SecretString'],
  UpdatePullThroughCacheRule: ['customRoleArn'],
}

export function withNeeded(operation: ModelledOperation): ModelledOperation {
  const members = [...operation.members].map(([name, { shape, required }]) => {
    const isNeeded = required || (needed[operation.name] ?? []).includes(name)
    return [name, { shape, required: isNeeded }] as const
  })
  return { ...operation, members: new Map(members) }
}

const secretOperations = [
  ...['CreateSecret', 'GetSecretValue', 'DescribeSecret', 'ListSecrets'],
  ...['PutSecretValue', 'UpdateSecret', 'DeleteSecret'],
]

/** Those of Secrets Manager that are answered, and all of ECR. */
export const modelled: readonly ModelledOperation[] = [
  ...secretOperations.map((name) => operationOf('secretsmanager', name)),
  ...[...ecrOperations.keys()].map((name) => operationOf('ecr', name)),
].map(withNeeded)

export const isAnswered = ({ service, name }: ModelledOperation): boolean =>
  service === 'secretsmanager' || ['yes', 'stored'].includes(ecrOperations.get(name)?.support ?? '')

/** Fills a shape of an operation with what is required in it; `more` goes before what is known here. */
export function samplerOf(operation: string, more: Record<string, string | (() => string)>): Sample {
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
        return (typeof own === 'function' ? own() : own) ?? samples[`${operation}.${name}`] ?? samples[name] ?? 'fuzz'
      }
    }
  }
  return sample
}
