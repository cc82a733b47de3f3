import { CreatePullThroughCacheRuleCommand } from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { AwsJson } from '../../support/aws-json.ts'
import { type CisternProcess, startCistern } from '../../support/cistern.ts'
import { clientsOf, firstKey } from '../../support/ecr.ts'

const credentialArn = 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:ecr-pullthroughcache/hub-AbCdEf'

const resources = new AsyncDisposableStack()
let aws: AwsJson
let cistern: CisternProcess

beforeAll(async () => {
  aws = resources.use(await AwsJson.start())
  const env = { AWS_ENDPOINT_URL_SECRETS_MANAGER: aws.url, AWS_ACCESS_KEY_ID: 'tests', AWS_SECRET_ACCESS_KEY: 'tests' }
  cistern = resources.use(await startCistern({ rules: [], env }))
})
afterAll(() => resources.disposeAsync())

it.each([
  ['AccessDeniedException', 'UnableToAccessSecretException'],
  ['InternalServiceError', 'UnableToAccessSecretException'],
  ['DecryptionFailure', 'UnableToDecryptSecretValueException'],
  ['ResourceNotFoundException', 'SecretNotFoundException'],
])('%s of AWS Secrets Manager keeps a rule from being made: %s', async (fault, told) => {
  aws.operations.GetSecretValue = () => {
    throw Object.assign(new Error('canary'), { name: fault })
  }
  using clients = clientsOf(cistern, await firstKey(cistern))
  const rule = { ecrRepositoryPrefix: 'team', upstreamRegistryUrl: 'quay.io', credentialArn }

  const failure = await clients.ecr.send(new CreatePullThroughCacheRuleCommand(rule)).catch((error: Error) => error)

  expect(failure).toMatchObject({ name: told })
  expect(String(failure)).not.toContain('canary')
  expect(aws.calls.at(-1)).toMatchObject({ operation: 'GetSecretValue', input: { SecretId: credentialArn } })
  expect(aws.calls.at(-1)?.authorization).toContain('/eu-west-1/secretsmanager/')
})
