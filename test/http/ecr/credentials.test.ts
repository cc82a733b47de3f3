import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CreatePullThroughCacheRuleCommand, UpdatePullThroughCacheRuleCommand } from '@aws-sdk/client-ecr'
import { CreateSecretCommand } from '@aws-sdk/client-secrets-manager'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { AwsJson } from '../../support/aws-json.ts'
import { startCistern } from '../../support/cistern.ts'
import { accessKeysFor, clientsOf, keyOf } from '../../support/ecr.ts'

const hub = 'ecr-pullthroughcache/hub'
const SecretString = JSON.stringify({ username: 'u', accessToken: 'canary' })

/** Makes rules with any secret but one, as the documentation of Secrets Manager says how to name that. */
const ofMaker = {
  Statement: [
    {
      Effect: 'Allow',
      Action: ['ecr:*PullThroughCacheRule', 'secretsmanager:GetSecretValue', 'secretsmanager:CreateSecret'],
      Resource: '*',
    },
    { Effect: 'Deny', Action: 'secretsmanager:*', Resource: `arn:aws:secretsmanager:*:*:secret:${hub}-??????` },
  ],
}

const resources = new AsyncDisposableStack()
let aws: AwsJson
let url = ''
let ARN = ''

beforeAll(async () => {
  aws = resources.use(await AwsJson.start())
  const { path } = resources.use(await mkdtempDisposable(join(tmpdir(), 'cistern-keys-')))
  const accessKeys = await accessKeysFor(path, { admin: ['AdministratorAccess'], maker: [ofMaker] })
  const env = { AWS_ENDPOINT_URL_SECRETS_MANAGER: aws.url, AWS_ACCESS_KEY_ID: 'tests', AWS_SECRET_ACCESS_KEY: 'tests' }
  const cistern = resources.use(await startCistern({ rules: [], config: { accessKeys }, env }))
  url = cistern.url
  using admin = clientsOf({ url }, keyOf('admin'))
  ARN = (await admin.secrets.send(new CreateSecretCommand({ Name: hub, SecretString }))).ARN ?? ''
})
afterAll(() => resources.disposeAsync())

const upstreamRegistryUrl = 'attacker.example'
const notFound = { name: 'SecretNotFoundException' }

it('a secret that a policy keeps from somebody is given to no upstream of theirs, however its ARN is written', async () => {
  using maker = clientsOf({ url }, keyOf('maker'))
  const rule = (ecrRepositoryPrefix: string, credentialArn?: string) =>
    maker.ecr.send(
      new CreatePullThroughCacheRuleCommand({
        ecrRepositoryPrefix,
        upstreamRegistryUrl,
        ...(credentialArn && { credentialArn }),
      }),
    )
  await expect(rule('whole', ARN)).rejects.toMatchObject({ name: 'AccessDeniedException' })
  await expect(rule('short', ARN.slice(0, -7))).rejects.toMatchObject(notFound)
  await rule('later')
  const change = { ecrRepositoryPrefix: 'later', credentialArn: ARN.slice(0, -7) }
  await expect(maker.ecr.send(new UpdatePullThroughCacheRuleCommand(change))).rejects.toMatchObject(notFound)
  const own = await maker.secrets.send(new CreateSecretCommand({ Name: 'ecr-pullthroughcache/own', SecretString }))
  await rule('own', own.ARN)
})

it('a secret of AWS that is found by a shorter form of its ARN is none', async () => {
  const whole = 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:ecr-pullthroughcache/elsewhere-AbCdEf'
  aws.operations.GetSecretValue = () => ({ ARN: whole, Name: 'ecr-pullthroughcache/elsewhere', SecretString })
  using admin = clientsOf({ url }, keyOf('admin'))
  const rule = (ecrRepositoryPrefix: string, credentialArn: string) =>
    admin.ecr.send(new CreatePullThroughCacheRuleCommand({ ecrRepositoryPrefix, upstreamRegistryUrl, credentialArn }))
  await expect(rule('aws-short', whole.slice(0, -7))).rejects.toMatchObject(notFound)
  await rule('aws-whole', whole)
})
