import * as sdk from '@aws-sdk/client-ecr'
import { CreateSecretCommand } from '@aws-sdk/client-secrets-manager'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ecrOperations } from '../../../src/http/ecr/operations.ts'
import { operationOf } from '../../support/aws-model.ts'
import { type CisternProcess, startCistern } from '../../support/cistern.ts'
import { clientsOf, firstKey } from '../../support/ecr.ts'
import { type FaultyUpstream, image, startUpstream } from '../../support/faulty-upstream.ts'
import { samplerOf, withNeeded } from './samples.ts'

const registryId = '000000000000'
const ecrRepositoryPrefix = 'hub'
const repositoryName = 'hub/app'
const made = 'made/app'
const resourceArn = `arn:aws:ecr:us-east-1:${registryId}:repository/${repositoryName}`
const prefix = 'hub/team'
const tags = [{ Key: 'team', Value: 'a' }]
const account = { username: 'someone', accessToken: 'canary-of-someone' }

const pulled = image({ seed: 'every operation', layers: [1000] })
const { digest: imageDigest, mediaType, bytes } = pulled
const layerDigest = pulled.layers[0]?.digest ?? ''

const allowing = (more: object) =>
  JSON.stringify({ Statement: [{ Effect: 'Allow', Principal: '*', Action: 'ecr:BatchGetImage', ...more }] })
const policyText = allowing({})
const registryPolicyText = allowing({ Resource: '*' })
const lifecyclePolicyText = JSON.stringify({
  rules: [
    {
      rulePriority: 1,
      selection: { tagStatus: 'any', countType: 'sinceImagePushed', countUnit: 'days', countNumber: 10_000 },
      action: { type: 'expire' },
    },
  ],
})
const rules = [{ scanFrequency: 'SCAN_ON_PUSH', repositoryFilters: [{ filter: '*', filterType: 'WILDCARD' }] }]

let upstream: FaultyUpstream
let cistern: CisternProcess
let clients: ReturnType<typeof clientsOf>
let credentialArn = ''

beforeAll(async () => {
  upstream = await startUpstream()
  upstream.requireBasic(account.username, account.accessToken)
  upstream.addImage('app', 'v1', pulled)
  cistern = await startCistern({ rules: [], config: { allowPrivateUpstreams: true } })
  clients = clientsOf(cistern, await firstKey(cistern))
  const secret = { Name: 'ecr-pullthroughcache/hub', SecretString: JSON.stringify(account) }
  credentialArn = (await clients.secrets.send(new CreateSecretCommand(secret))).ARN ?? ''
})
afterAll(async () => {
  clients[Symbol.dispose]()
  await cistern[Symbol.asyncDispose]()
  await upstream[Symbol.asyncDispose]()
})

/** What the SDK has for an operation, by its name. */
type Send = (input: object) => Promise<object>
const send = (operation: string): Send => {
  const Command = (sdk as unknown as Record<string, new (input: object) => Parameters<sdk.ECRClient['send']>[0]>)[
    `${operation}Command`
  ]
  if (!Command) throw new Error(`the SDK has no ${operation}`)
  return (input) => clients.ecr.send(new Command(input))
}

/** One after the other: what is told of an operation rests on those before it. */
const story: [operation: string, input: () => object, told: object][] = [
  ['DescribeRegistry', () => ({}), { registryId, replicationConfiguration: { rules: [] } }],
  ['GetAuthorizationToken', () => ({}), { authorizationData: [{ authorizationToken: expect.any(String) }] }],
  [
    'CreatePullThroughCacheRule',
    () => ({ ecrRepositoryPrefix, upstreamRegistryUrl: upstream.url, credentialArn }),
    { ecrRepositoryPrefix, createdAt: expect.any(Date) },
  ],
  ['DescribePullThroughCacheRules', () => ({}), { pullThroughCacheRules: [{ ecrRepositoryPrefix }] }],
  [
    'UpdatePullThroughCacheRule',
    () => ({ ecrRepositoryPrefix, customRoleArn: 'arn:aws:iam::1:role/r' }),
    { ecrRepositoryPrefix, updatedAt: expect.any(Date), customRoleArn: 'arn:aws:iam::1:role/r' },
  ],
  ['ValidatePullThroughCacheRule', () => ({ ecrRepositoryPrefix }), { isValid: true }],
  [
    'CreateRepositoryCreationTemplate',
    () => ({ prefix, appliedFor: ['PULL_THROUGH_CACHE'] }),
    { registryId, repositoryCreationTemplate: { prefix, createdAt: expect.any(Date) } },
  ],
  ['DescribeRepositoryCreationTemplates', () => ({}), { repositoryCreationTemplates: [{ prefix }] }],
  [
    'UpdateRepositoryCreationTemplate',
    () => ({ prefix, description: 'of a team' }),
    { repositoryCreationTemplate: { prefix, description: 'of a team' } },
  ],
  ['CreateRepository', () => ({ repositoryName: made, tags }), { repository: { repositoryName: made, registryId } }],
  [
    'BatchGetImage',
    () => ({ repositoryName, imageIds: [{ imageTag: 'v1' }] }),
    { images: [{ imageId: { imageDigest, imageTag: 'v1' }, imageManifest: bytes.toString() }], failures: [] },
  ],
  ['DescribeRepositories', () => ({}), { repositories: [{ repositoryName }, { repositoryName: made }] }],
  ['ListImages', () => ({ repositoryName }), { imageIds: [{ imageDigest, imageTag: 'v1' }] }],
  [
    'DescribeImages',
    () => ({ repositoryName }),
    { imageDetails: [{ imageDigest, imageTags: ['v1'], imageManifestMediaType: mediaType }] },
  ],
  ['GetDownloadUrlForLayer', () => ({ repositoryName, layerDigest }), { layerDigest, downloadUrl: expect.any(String) }],
  [
    'BatchCheckLayerAvailability',
    () => ({ repositoryName, layerDigests: [layerDigest] }),
    { layers: [{ layerDigest, layerAvailability: 'UNAVAILABLE' }], failures: [] },
  ],
  ['ListImageReferrers', () => ({ repositoryName, subjectId: { imageDigest } }), { referrers: [] }],
  ['PutImageTagMutability', () => ({ repositoryName, imageTagMutability: 'IMMUTABLE' }), { repositoryName }],
  [
    'PutImageScanningConfiguration',
    () => ({ repositoryName, imageScanningConfiguration: { scanOnPush: true } }),
    { imageScanningConfiguration: { scanOnPush: true } },
  ],
  [
    'PutRegistryScanningConfiguration',
    () => ({ scanType: 'BASIC', rules }),
    { registryScanningConfiguration: { scanType: 'BASIC', rules } },
  ],
  ['GetRegistryScanningConfiguration', () => ({}), { registryId, scanningConfiguration: { scanType: 'BASIC', rules } }],
  [
    'BatchGetRepositoryScanningConfiguration',
    () => ({ repositoryNames: [repositoryName] }),
    { scanningConfigurations: [{ repositoryName, scanOnPush: true }], failures: [] },
  ],
  ['TagResource', () => ({ resourceArn, tags }), {}],
  ['ListTagsForResource', () => ({ resourceArn }), { tags }],
  ['UntagResource', () => ({ resourceArn, tagKeys: ['team'] }), {}],
  ['SetRepositoryPolicy', () => ({ repositoryName, policyText }), { repositoryName, policyText }],
  ['GetRepositoryPolicy', () => ({ repositoryName }), { policyText }],
  ['DeleteRepositoryPolicy', () => ({ repositoryName }), { policyText }],
  ['PutRegistryPolicy', () => ({ policyText: registryPolicyText }), { registryId, policyText: registryPolicyText }],
  ['GetRegistryPolicy', () => ({}), { policyText: registryPolicyText }],
  ['DeleteRegistryPolicy', () => ({}), { policyText: registryPolicyText }],
  ['PutLifecyclePolicy', () => ({ repositoryName, lifecyclePolicyText }), { lifecyclePolicyText }],
  ['GetLifecyclePolicy', () => ({ repositoryName }), { lifecyclePolicyText }],
  ['StartLifecyclePolicyPreview', () => ({ repositoryName }), { lifecyclePolicyText, status: 'IN_PROGRESS' }],
  ['GetLifecyclePolicyPreview', () => ({ repositoryName }), { lifecyclePolicyText, previewResults: [] }],
  ['DeleteLifecyclePolicy', () => ({ repositoryName }), { lifecyclePolicyText }],
  [
    'BatchDeleteImage',
    () => ({ repositoryName, imageIds: [{ imageTag: 'v1' }] }),
    { imageIds: [{ imageDigest, imageTag: 'v1' }], failures: [] },
  ],
  ['DeleteRepository', () => ({ repositoryName: made }), { repository: { repositoryName: made } }],
  ['DeleteRepositoryCreationTemplate', () => ({ prefix }), { repositoryCreationTemplate: { prefix } }],
  ['DeletePullThroughCacheRule', () => ({ ecrRepositoryPrefix }), { ecrRepositoryPrefix, registryId }],
]

const withSupport = (...supports: string[]) =>
  [...ecrOperations].filter(([, { support }]) => supports.includes(support)).map(([name]) => name)

describe('by the client of AWS', () => {
  it('each operation that is answered is asked here', () => {
    expect(ecrOperations.size).toBe(58)
    expect(story.map(([operation]) => operation).sort()).toEqual(withSupport('yes', 'stored').sort())
  })

  it.each(story)('%s is answered', async (operation, input, told) => {
    expect(await send(operation)(input())).toMatchObject(told)
  })

  it.each(withSupport('later', 'no'))('%s is refused, and the reason told', async (operation) => {
    const model = withNeeded(operationOf('ecr', operation))
    const input = samplerOf(operation, { layerPartBlob: 'AA==' })('', { kind: 'structure', members: model.members })
    await expect(send(operation)(input as object)).rejects.toMatchObject({
      name: 'UnsupportedOperationException',
      message: `${operation} is not supported. ${ecrOperations.get(operation)?.reason}`,
      $metadata: { httpStatusCode: 400 },
    })
  })
})
