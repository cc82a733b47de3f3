import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ecrCredentials } from '../../src/credentials/ecr.ts'
import { accountsOf, credentialsOf, type Surroundings } from '../../src/credentials/from-rule.ts'
import { secretsManagerCredentials } from '../../src/credentials/secrets-manager.ts'
import type { CredentialSource, Rule } from '../../src/rules/rule.ts'
import { credentialsContract, user } from '../contracts/credentials.ts'
import { AwsJson } from '../support/aws-json.ts'
import { ruleTo } from '../support/faulty-rule.ts'
import { ForwardProxy } from '../support/forward-proxy.ts'

const secretArn = 'arn:aws:secretsmanager:eu-west-3:123456789012:secret:ecr-pullthroughcache/hub-AbCdEf'
const ecrHost = '123456789012.dkr.ecr.eu-west-3.amazonaws.com'
const base64 = (text: string) => Buffer.from(text).toString('base64')

let aws: AwsJson
let directory: string
const before = { ...process.env }

beforeAll(async () => {
  aws = await AwsJson.start()
  directory = await mkdtemp(join(tmpdir(), 'cistern-credentials-'))
  Object.assign(process.env, {
    AWS_ENDPOINT_URL_SECRETS_MANAGER: aws.url,
    AWS_ENDPOINT_URL_ECR: aws.url,
    AWS_ACCESS_KEY_ID: 'AKIATEST',
    AWS_SECRET_ACCESS_KEY: 'canary-key',
  })
})

afterAll(async () => {
  process.env = before
  await aws[Symbol.asyncDispose]()
  await rm(directory, { recursive: true })
})

const failWith = (name: string, message: string) => () => {
  throw Object.assign(new Error(message), { name })
}

function fromFile(
  name: string,
  source: (path: string) => CredentialSource,
  host: string,
  print: (c: typeof user) => string,
) {
  credentialsContract(name, async () => {
    const path = join(directory, `${name.replace(/\W/g, '')}${Math.random()}`)
    const rotate = (credential: typeof user) => writeFile(path, print(credential))
    await rotate(user)
    return {
      credentials: credentialsOf(source(path), host),
      rotate,
      spoil: () => rm(path),
    }
  })
}

fromFile(
  'password file',
  (passwordFile) => ({ username: 'user', passwordFile }),
  'quay.io',
  (c) => `${c.password}\n`,
)

fromFile(
  'docker config',
  (dockerConfig) => ({ dockerConfig }),
  'quay.io',
  (c) => JSON.stringify({ auths: { 'quay.io': { auth: base64(`${c.username}:${c.password}`) } } }),
)

credentialsContract('secrets manager', async () => {
  const rotate = async ({ username, password }: typeof user) => {
    aws.operations.GetSecretValue = () => ({ SecretString: JSON.stringify({ username, accessToken: password }) })
  }
  await rotate(user)
  return {
    credentials: credentialsOf({ secretArn }, 'quay.io'),
    rotate,
    spoil: async () => {
      aws.operations.GetSecretValue = () => ({ SecretString: '{"username": canary' })
    },
  }
})

credentialsContract('ecr', async () => {
  const rotate = async ({ username, password }: typeof user) => {
    aws.operations.GetAuthorizationToken = () => ({
      authorizationData: [
        { authorizationToken: base64(`${username}:${password}`), expiresAt: Date.now() / 1000 + 43_200 },
      ],
    })
  }
  await rotate(user)
  return {
    credentials: credentialsOf({ ecr: {} }, ecrHost),
    rotate,
    spoil: async () => {
      aws.operations.GetAuthorizationToken = failWith('AccessDeniedException', 'no')
    },
  }
})

describe('a credential of the configuration', () => {
  it('is given, refused or not', async () => {
    const credentials = credentialsOf(user, 'quay.io')
    credentials.reject(user)
    expect(await credentials.get()).toEqual(user)
  })
})

describe('no credential', () => {
  it('is anonymous', async () => {
    expect(await credentialsOf(undefined, 'quay.io').get()).toBeUndefined()
  })
})

describe('a password file', () => {
  it('C53: is read again when it changes, without a refusal, and loses one newline at its end', async () => {
    const path = join(directory, 'password')
    const credentials = credentialsOf({ username: 'user', passwordFile: path }, 'quay.io')
    const texts = ['one\n', 'two two\r\n', ' three ', 'four\n\n']
    const passwords = ['one', 'two two', ' three ', 'four\n']
    for (const [position, text] of texts.entries()) {
      await writeFile(path, text)
      expect(await credentials.get()).toEqual({ username: 'user', password: passwords[position] })
    }
  })
})

describe('a docker config', () => {
  const read = async (config: unknown, host: string) => {
    const path = join(directory, `config${Math.random()}.json`)
    await writeFile(path, JSON.stringify(config))
    return credentialsOf({ dockerConfig: path }, host).get()
  }
  const auth = base64('u:p')

  it.each([
    ['quay.io', 'quay.io'],
    ['https://quay.io', 'quay.io'],
    ['https://quay.io/v1/', 'quay.io'],
    ['quay.io/v2/', 'quay.io'],
    ['http://localhost:5000', 'localhost:5000'],
    ['https://index.docker.io/v1/', 'registry-1.docker.io'],
    ['docker.io', 'registry-1.docker.io'],
    ['docker.io', 'docker.io'],
  ])('with an entry for %s serves %s', async (key, host) => {
    expect(await read({ auths: { [key]: { auth } } }, host)).toEqual({ username: 'u', password: 'p' })
  })

  it.each([
    ['another host', { auths: { 'quay.io.evil.test': { auth } } }],
    ['another port', { auths: { 'quay.io:8443': { auth } } }],
    ['a namespace', { auths: { 'quay.io/team': { auth } } }],
    ['an identity token', { auths: { 'quay.io': { auth: base64('<token>:'), identitytoken: 'x' } } }],
    ['an empty entry, of a helper', { auths: { 'quay.io': {} }, credsStore: 'desktop' }],
    ['no user', { auths: { 'quay.io': { auth: base64(':p') } } }],
    ['nonsense', { auths: { 'quay.io': { auth: 7 } } }],
    ['no entries', { auths: null }],
    ['no object', 7],
  ])('with %s is anonymous', async (_, config) => {
    expect(await read(config, 'quay.io')).toBeUndefined()
  })
})

describe('a secret of AWS', () => {
  it('is asked for by its ARN in its region, once in five minutes', async () => {
    let now = 0
    aws.operations.GetSecretValue = () => ({ SecretString: '{"username":"u","password":"p"}' })
    aws.calls.length = 0
    const credentials = secretsManagerCredentials(secretArn, { now: () => now })
    expect(await credentials.get()).toEqual({ username: 'u', password: 'p' })
    now = 299_000
    await credentials.get()
    expect(aws.calls).toHaveLength(1)
    expect(aws.calls[0]).toMatchObject({ operation: 'GetSecretValue', input: { SecretId: secretArn } })
    expect(aws.calls[0]?.authorization).toContain('/eu-west-3/secretsmanager/')
    now = 300_000
    await credentials.get()
    expect(aws.calls).toHaveLength(2)
    credentials.reject({ username: 'u', password: 'another' })
    await credentials.get()
    expect(aws.calls).toHaveLength(2)
  })

  it.each(['{}', '7', 'null', '{"username":"u"}', '"text"'])('is unavailable where it is %s', async (SecretString) => {
    aws.operations.GetSecretValue = () => ({ SecretString })
    await expect(credentialsOf({ secretArn }, 'x').get()).rejects.toMatchObject({ kind: 'unavailable' })
  })
})

describe('a password of ECR', () => {
  it('is asked for in the region and registry of the host, and renewed an hour before it ends', async () => {
    let now = 0
    const expiresAt = Date.now() / 1000 + 43_200
    aws.operations.GetAuthorizationToken = () => ({
      authorizationData: [{ authorizationToken: base64('AWS:p'), expiresAt }],
    })
    aws.calls.length = 0
    const credentials = ecrCredentials(ecrHost, {}, { now: () => now })
    expect(await credentials.get()).toEqual({ username: 'AWS', password: 'p' })
    now = 10.9 * 3_600_000
    await credentials.get()
    expect(aws.calls).toHaveLength(1)
    expect(aws.calls[0]?.input).toEqual({ registryIds: ['123456789012'] })
    expect(aws.calls[0]?.authorization).toContain('/eu-west-3/ecr/')
    now = 11.1 * 3_600_000
    await credentials.get()
    expect(aws.calls).toHaveLength(2)
  })

  it('takes region and registry from the rule before those of the host', async () => {
    aws.calls.length = 0
    await ecrCredentials(ecrHost, { region: 'us-west-2', registryId: '210987654321' }).get()
    expect(aws.calls[0]?.input).toEqual({ registryIds: ['210987654321'] })
    expect(aws.calls[0]?.authorization).toContain('/us-west-2/ecr/')
  })
})

describe('AWS, asked for a credential', () => {
  const rule = ruleTo(`https://${ecrHost}`, { credential: { ecr: {} } })
  const account = { username: 'someone', password: 'canary: of a pröxy' }
  const named = { AWS_ENDPOINT_URL_ECR: '', AWS_ENDPOINT_URL_SECRETS_MANAGER: '' }

  beforeEach(() => {
    const nobodyKnows = aws.url.replace('127.0.0.1', 'aws.test')
    for (const name of Object.keys(named) as (keyof typeof named)[]) {
      named[name] = process.env[name] ?? ''
      process.env[name] = nobodyKnows
    }
    aws.operations.GetAuthorizationToken = () => ({ authorizationData: [{ authorizationToken: base64('AWS:p') }] })
    aws.operations.GetSecretValue = () => ({ SecretString: '{"username":"u","accessToken":"p"}' })
    return () => void Object.assign(process.env, named)
  })

  const ask = async (changes: Partial<Rule>, proxies?: Surroundings['proxies']) => {
    const [credentials] = accountsOf({ ...rule, ...changes }, proxies && { proxies })
    return credentials?.get()
  }

  it('is reached through the proxy of the rule, by the credential in its file', async () => {
    await using proxy = await ForwardProxy.start({ account })
    const passwordFile = join(directory, 'proxy-password')
    await writeFile(passwordFile, `${account.password}\n`)
    const own = { url: proxy.url, username: account.username, passwordFile }
    await using usual = await ForwardProxy.start()

    expect(await ask({ proxy: own }, { httpProxy: usual.url })).toEqual({ username: 'AWS', password: 'p' })
    expect(await ask({ proxy: own, credential: { secretArn } })).toEqual({ username: 'u', password: 'p' })
    expect(proxy.asked).toHaveLength(2)
    expect(proxy.asked[0]).toContain('aws.test')
    expect(usual.asked).toEqual([])
  })

  it('is reached through the proxy of the environment, unless the rule or NO_PROXY says otherwise', async () => {
    await using usual = await ForwardProxy.start()
    expect(await ask({}, { httpProxy: usual.url })).toEqual({ username: 'AWS', password: 'p' })
    expect(usual.asked).toHaveLength(1)
    Object.assign(process.env, { AWS_ENDPOINT_URL_ECR: aws.url })
    await ask({ proxy: 'none' }, { httpProxy: usual.url })
    await ask({}, { httpProxy: usual.url, noProxy: '127.0.0.1' })
    expect(usual.asked).toHaveLength(1)
  })

  it('does not tell of the proxy that refuses', async () => {
    await using proxy = await ForwardProxy.start({ account })
    const passwordFile = join(directory, 'wrong-password')
    await writeFile(passwordFile, 'canary-wrong')
    const failure = await ask({ proxy: { url: proxy.url, username: 'someone', passwordFile } }).catch((e: Error) => e)
    expect(failure).toMatchObject({ kind: 'unavailable' })
    expect(inspect(failure, { depth: 9, showHidden: true })).not.toContain('canary')
  })
})
