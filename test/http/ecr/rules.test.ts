import {
  CreatePullThroughCacheRuleCommand,
  DeletePullThroughCacheRuleCommand,
  DescribePullThroughCacheRulesCommand,
  type DescribePullThroughCacheRulesCommandInput,
  DescribeRegistryCommand,
  GetAuthorizationTokenCommand,
  PutImageCommand,
  StartImageScanCommand,
  UpdatePullThroughCacheRuleCommand,
  ValidatePullThroughCacheRuleCommand,
} from '@aws-sdk/client-ecr'
import {
  CreateSecretCommand,
  DeleteSecretCommand,
  DescribeSecretCommand,
  GetSecretValueCommand,
  ListSecretsCommand,
  PutSecretValueCommand,
  UpdateSecretCommand,
} from '@aws-sdk/client-secrets-manager'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CisternProcess, startCistern } from '../../support/cistern.ts'
import { clientsOf, firstKey, type TestKey } from '../../support/ecr.ts'

const fixed = { prefix: 'fixed', upstream: 'https://file.example' }
const registryId = '000000000000'
const day = 24 * 3_600_000

let cistern: CisternProcess
let key: TestKey
let clients: ReturnType<typeof clientsOf>

beforeAll(async () => {
  cistern = await startCistern({ rules: [fixed] })
  key = await firstKey(cistern)
  clients = clientsOf(cistern, key)
})

afterAll(async () => {
  clients[Symbol.dispose]()
  expect(cistern.logs.join('\n')).not.toContain('canary')
  expect(cistern.logs.join('\n')).not.toContain(key.secretAccessKey)
  await cistern[Symbol.asyncDispose]()
})

const rule = (ecrRepositoryPrefix: string, upstreamRegistryUrl: string, more: object = {}) =>
  clients.ecr.send(new CreatePullThroughCacheRuleCommand({ ecrRepositoryPrefix, upstreamRegistryUrl, ...more }))

const prefixes = async (input: DescribePullThroughCacheRulesCommandInput = {}) => {
  const { pullThroughCacheRules = [], nextToken } = await clients.ecr.send(
    new DescribePullThroughCacheRulesCommand(input),
  )
  return { prefixes: pullThroughCacheRules.map(({ ecrRepositoryPrefix }) => ecrRepositoryPrefix), nextToken }
}

const secret = (name: string, value: object) =>
  clients.secrets.send(
    new CreateSecretCommand({ Name: `ecr-pullthroughcache/${name}`, SecretString: JSON.stringify(value) }),
  )

describe('pull-through cache rules', () => {
  it('are made, told, and deleted', async () => {
    const startedAt = Date.now()
    const made = await rule('docker-hub', 'registry-1.docker.io', { upstreamRegistry: 'docker-hub' })
    expect(made).toMatchObject({
      ecrRepositoryPrefix: 'docker-hub',
      upstreamRegistryUrl: 'registry-1.docker.io',
      upstreamRepositoryPrefix: 'ROOT',
      upstreamRegistry: 'docker-hub',
      registryId,
    })
    expect(Math.abs((made.createdAt?.getTime() ?? 0) - startedAt)).toBeLessThan(60_000)
    const described = await clients.ecr.send(
      new DescribePullThroughCacheRulesCommand({ ecrRepositoryPrefixes: ['docker-hub'] }),
    )
    expect(described.pullThroughCacheRules).toEqual([
      expect.objectContaining({ upstreamRegistryUrl: 'registry-1.docker.io', updatedAt: made.createdAt }),
    ])
    const validated = await clients.ecr.send(
      new ValidatePullThroughCacheRuleCommand({ ecrRepositoryPrefix: 'docker-hub' }),
    )
    expect(validated).toMatchObject({ isValid: true })

    const deleted = await clients.ecr.send(new DeletePullThroughCacheRuleCommand({ ecrRepositoryPrefix: 'docker-hub' }))
    expect(deleted).toMatchObject({ ecrRepositoryPrefix: 'docker-hub', createdAt: made.createdAt })
    expect(deleted).not.toHaveProperty('upstreamRegistry')
  })

  it('of the configuration file are listed, and stay as they are', async () => {
    expect((await prefixes()).prefixes).toEqual(['fixed'])
    const what = { ecrRepositoryPrefix: 'fixed' }
    await expect(clients.ecr.send(new DeletePullThroughCacheRuleCommand(what))).rejects.toMatchObject({
      name: 'ValidationException',
      message: expect.stringContaining('configuration file'),
    })
    await expect(rule('fixed', 'quay.io')).rejects.toMatchObject({ name: 'PullThroughCacheRuleAlreadyExistsException' })
    const update = new UpdatePullThroughCacheRuleCommand({ ...what, customRoleArn: 'arn:aws:iam::1:role/x' })
    await expect(clients.ecr.send(update)).rejects.toMatchObject({ name: 'ValidationException' })
  })

  it('come by pages', async () => {
    for (const name of ['p1', 'p2', 'p3']) await rule(name, 'quay.io')
    const first = await prefixes({ maxResults: 2 })
    expect(first).toMatchObject({ prefixes: ['fixed', 'p1'], nextToken: expect.any(String) })
    const second = await prefixes({ maxResults: 2, nextToken: first.nextToken ?? '' })
    expect(second).toEqual({ prefixes: ['p2', 'p3'], nextToken: undefined })
    const named = { ecrRepositoryPrefixes: ['p3', 'p1', 'p2', 'p1'], maxResults: 2 }
    const some = await prefixes(named)
    expect(some).toMatchObject({ prefixes: ['p1', 'p2'], nextToken: expect.any(String) })
    expect((await prefixes({ ...named, nextToken: some.nextToken ?? '' })).prefixes).toEqual(['p3'])
    await expect(prefixes({ nextToken: 'bm9uc2Vuc2U' })).rejects.toMatchObject({ name: 'InvalidParameterException' })
    for (const ecrRepositoryPrefix of ['p1', 'p2', 'p3']) {
      await clients.ecr.send(new DeletePullThroughCacheRuleCommand({ ecrRepositoryPrefix }))
    }
  })

  it.each([
    [{ ecrRepositoryPrefix: 'x'.repeat(31) }, 'InvalidParameterException', 'less than or equal to 30'],
    [{ ecrRepositoryPrefix: 'a!!' }, 'InvalidParameterException', "at 'ecrRepositoryPrefix' failed to satisfy"],
    [{ ecrRepositoryPrefix: undefined }, 'InvalidParameterException', 'must not be null'],
    [{ ecrRepositoryPrefix: 7 }, 'SerializationException', "'ecrRepositoryPrefix'"],
    [{ upstreamRegistryUrl: 'https://u:canary@h' }, 'InvalidParameterException', 'upstreamRegistryUrl'],
    [{ upstreamRegistryUrl: 'http://quay.io' }, 'UnsupportedUpstreamRegistryException', 'plain HTTP'],
    [{ upstreamRegistryUrl: '10.0.0.1:5000' }, 'UnsupportedUpstreamRegistryException', 'not public'],
    [{ upstreamRegistryUrl: '[::ffff:127.0.0.1]' }, 'UnsupportedUpstreamRegistryException', 'not public'],
    [{ upstreamRegistryUrl: '169.254.169.254' }, 'UnsupportedUpstreamRegistryException', 'not public'],
    [{ upstreamRegistry: 'harbor' }, 'InvalidParameterException', 'enum value set'],
    [{ upstreamRegistry: 'docker-hub' }, 'ValidationException', 'quay'],
    [{ ecrRepositoryPrefix: 'ROOT', upstreamRepositoryPrefix: 'team' }, 'ValidationException', 'ROOT'],
    [{ credentialArn: `arn:aws:secretsmanager:us-east-1:1:secret:${'x'.repeat(30)}` }, 'InvalidParameterException', ''],
    [{ registryId: '111122223333' }, 'AccessDeniedException', registryId],
  ])('are refused with %j', async (more, name, message) => {
    await expect(rule('team', 'quay.io', more)).rejects.toMatchObject({
      name,
      message: expect.stringContaining(message),
    })
    await expect(rule('team', 'quay.io', more)).rejects.not.toThrow('canary')
    expect((await prefixes()).prefixes).toEqual(['fixed'])
  })

  it('that are not there are said not to be', async () => {
    const expected = {
      name: 'PullThroughCacheRuleNotFoundException',
      message: `The pull through cache rule with Amazon ECR repository prefix 'none' does not exist in the registry with id '${registryId}'`,
    }
    const what = { ecrRepositoryPrefix: 'none' }
    const wanted = new DescribePullThroughCacheRulesCommand({ ecrRepositoryPrefixes: ['none'] })
    await expect(clients.ecr.send(wanted)).rejects.toMatchObject(expected)
    await expect(clients.ecr.send(new DeletePullThroughCacheRuleCommand(what))).rejects.toMatchObject(expected)
    await expect(clients.ecr.send(new ValidatePullThroughCacheRuleCommand(what))).rejects.toMatchObject(expected)
  })

  it('need a secret that is there and reads as a credential', async () => {
    const nonsense = await secret('nonsense', { user: 'canary' })
    const missing = `arn:aws:secretsmanager:us-east-1:${registryId}:secret:ecr-pullthroughcache/missing-AbCdEf`
    await expect(rule('team', 'quay.io', { credentialArn: nonsense.ARN })).rejects.toMatchObject({
      name: 'UnableToDecryptSecretValueException',
    })
    await expect(rule('team', 'quay.io', { credentialArn: missing })).rejects.toMatchObject({
      name: 'UnableToAccessSecretException',
    })
    await clients.secrets.send(new DeleteSecretCommand({ SecretId: nonsense.ARN, ForceDeleteWithoutRecovery: true }))
  })
})

it('the log says where the first key is, and not what it is', () => {
  const [line, ...others] = cistern.logs.filter((line) => line.includes('access key'))
  expect(others).toEqual([])
  expect(line).toContain('access-keys.json')
  expect(line).not.toContain(key.accessKeyId)
})

describe('the registry', () => {
  it('describes itself', async () => {
    expect(await clients.ecr.send(new DescribeRegistryCommand({}))).toMatchObject({
      registryId,
      replicationConfiguration: { rules: [] },
    })
  })

  it('gives tokens for twelve hours', async () => {
    const { authorizationData } = await clients.ecr.send(new GetAuthorizationTokenCommand({}))
    const [data] = authorizationData ?? []
    const [user, password, ...rest] = Buffer.from(data?.authorizationToken ?? '', 'base64')
      .toString()
      .split(':')
    expect([user, rest]).toEqual(['AWS', []])
    expect(password?.length).toBeGreaterThan(40)
    expect(data?.proxyEndpoint).toMatch(/^http:\/\/127\.0\.0\.1/)
    expect((data?.expiresAt?.getTime() ?? 0) - Date.now()).toBeGreaterThan(0.49 * day)
  })

  it('says what it does not do', async () => {
    const push = new PutImageCommand({ repositoryName: 'a/b', imageManifest: '{}' })
    await expect(clients.ecr.send(push)).rejects.toMatchObject({
      name: 'UnsupportedOperationException',
      message: expect.stringContaining('not pushed'),
    })
    const scan = new StartImageScanCommand({ repositoryName: 'a/b', imageId: { imageTag: 'x' } })
    await expect(clients.ecr.send(scan)).rejects.toMatchObject({ name: 'UnsupportedOperationException' })
  })
})

describe('secrets', () => {
  it('are kept, changed and deleted', async () => {
    const made = await secret('hub', { username: 'u', accessToken: 'canary-1' })
    expect(made.ARN).toMatch(/:secret:ecr-pullthroughcache\/hub-\w{6}$/)
    const SecretId = made.Name
    const value = async () => (await clients.secrets.send(new GetSecretValueCommand({ SecretId }))).SecretString
    expect(await value()).toContain('canary-1')

    await clients.secrets.send(new PutSecretValueCommand({ SecretId, SecretString: 'canary-2' }))
    expect(await value()).toBe('canary-2')
    await clients.secrets.send(
      new UpdateSecretCommand({ SecretId, SecretString: 'canary-3', Description: 'of the hub' }),
    )
    expect(await value()).toBe('canary-3')
    const described = await clients.secrets.send(new DescribeSecretCommand({ SecretId }))
    expect(described).toMatchObject({ ARN: made.ARN, Description: 'of the hub', CreatedDate: expect.any(Date) })
    const listed = async (...Values: string[]) => {
      const filters = Values.length > 0 && { Filters: [{ Key: 'name' as const, Values }] }
      const { SecretList = [] } = await clients.secrets.send(new ListSecretsCommand({ ...filters }))
      return SecretList.map(({ Name }) => Name)
    }
    expect(await listed()).toEqual(['ecr-pullthroughcache/hub'])
    expect(await listed('ecr-pullthroughcache/q', 'ecr-pullthroughcache/h')).toEqual(['ecr-pullthroughcache/hub'])
    expect([await listed('hub'), await listed('!ecr-pullthroughcache/h')]).toEqual([[], []])

    await clients.secrets.send(new DeleteSecretCommand({ SecretId, ForceDeleteWithoutRecovery: true }))
    await expect(value()).rejects.toMatchObject({ name: 'ResourceNotFoundException' })
  })

  it('are only those of rules, and made once', async () => {
    const other = new CreateSecretCommand({ Name: 'other', SecretString: 'canary' })
    await expect(clients.secrets.send(other)).rejects.toMatchObject({ name: 'InvalidParameterException' })
    await secret('once', { a: 1 })
    await expect(secret('once', { a: 2 })).rejects.toMatchObject({ name: 'ResourceExistsException' })
    const unpaired = new CreateSecretCommand({ Name: 'ecr-pullthroughcache/b', SecretString: 'canary\ud800' })
    await expect(clients.secrets.send(unpaired)).rejects.toMatchObject({ name: 'InvalidParameterException' })
    const binary = new CreateSecretCommand({ Name: 'ecr-pullthroughcache/b', SecretBinary: Buffer.from('canary') })
    await expect(clients.secrets.send(binary)).rejects.toMatchObject({ name: 'InvalidParameterException' })
    const SecretId = 'ecr-pullthroughcache/once'
    const pending = new PutSecretValueCommand({ SecretId, SecretString: 'canary', VersionStages: ['AWSPENDING'] })
    await expect(clients.secrets.send(pending)).rejects.toMatchObject({ name: 'InvalidParameterException' })
    expect((await clients.secrets.send(new GetSecretValueCommand({ SecretId }))).SecretString).toBe('{"a":1}')
    await clients.secrets.send(new DeleteSecretCommand({ SecretId }))
  })
})
