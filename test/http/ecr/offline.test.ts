import { CreatePullThroughCacheRuleCommand, ValidatePullThroughCacheRuleCommand } from '@aws-sdk/client-ecr'
import { CreateSecretCommand } from '@aws-sdk/client-secrets-manager'
import { expect, it } from 'vitest'
import { AwsJson } from '../../support/aws-json.ts'
import { startCistern } from '../../support/cistern.ts'
import { clientsOf, firstKey } from '../../support/ecr.ts'
import { startUpstream } from '../../support/faulty-upstream.ts'

it('an instance that is offline makes rules with secrets of its own, and asks neither upstreams nor AWS', async () => {
  await using upstream = await startUpstream()
  await using aws = await AwsJson.start()
  const env = { AWS_ENDPOINT_URL_SECRETS_MANAGER: aws.url, AWS_ACCESS_KEY_ID: 'tests', AWS_SECRET_ACCESS_KEY: 'tests' }
  await using cistern = await startCistern({ rules: [], env, config: { offline: true, allowPrivateUpstreams: true } })
  using clients = clientsOf(cistern, await firstKey(cistern))
  const SecretString = JSON.stringify({ username: 'u', accessToken: 'canary' })
  const { ARN } = await clients.secrets.send(new CreateSecretCommand({ Name: 'ecr-pullthroughcache/u', SecretString }))
  const rule = (ecrRepositoryPrefix: string, credentialArn = ARN) =>
    clients.ecr.send(
      new CreatePullThroughCacheRuleCommand({
        ...{ ecrRepositoryPrefix, upstreamRegistryUrl: upstream.url },
        ...(credentialArn && { credentialArn }),
      }),
    )
  await rule('own')
  const validate = new ValidatePullThroughCacheRuleCommand({ ecrRepositoryPrefix: 'own' })
  expect(await clients.ecr.send(validate)).toMatchObject({
    isValid: false,
    failure: expect.stringContaining('cannot be reached'),
  })
  const elsewhere = 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:ecr-pullthroughcache/elsewhere-AbCdEf'
  await expect(rule('aws', elsewhere)).rejects.toMatchObject({ name: 'UnableToAccessSecretException' })
  expect([upstream.connections, aws.calls]).toEqual([0, []])
})
