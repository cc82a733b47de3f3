import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CreatePullThroughCacheRuleCommand,
  DeletePullThroughCacheRuleCommand,
  DescribePullThroughCacheRulesCommand,
  GetAuthorizationTokenCommand,
  ValidatePullThroughCacheRuleCommand,
} from '@aws-sdk/client-ecr'
import { CreateSecretCommand, PutSecretValueCommand } from '@aws-sdk/client-secrets-manager'
import { expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { type CisternProcess, startCistern } from '../support/cistern.ts'
import { clientsOf, firstKey, type TestKey } from '../support/ecr.ts'
import { fetchDigest } from '../support/http.ts'
import { makeImage, sha256 } from '../support/images.ts'
import { run } from '../support/process.ts'
import { push } from '../support/push.ts'
import { registryTools, startRegistry } from '../support/registry.ts'
import { requireTool } from '../support/tools.ts'
import { withTools } from '../support/with-tools.ts'

const config = { auth: { mode: 'required' }, allowPrivateUpstreams: true }

async function tokenOf(cistern: CisternProcess, key: TestKey): Promise<string> {
  using clients = clientsOf(cistern, key)
  const { authorizationData } = await clients.ecr.send(new GetAuthorizationTokenCommand({}))
  return authorizationData?.[0]?.authorizationToken ?? ''
}

/** Logs in as scripts do, and copies to a directory. Resolves to the digest of the manifest. */
async function loginAndCopy(cistern: CisternProcess, key: TestKey, image: string, name: string): Promise<string> {
  const skopeo = requireTool('skopeo')
  const authfile = join(cistern.directory, `${name}.json`)
  const [, password = ''] = Buffer.from(await tokenOf(cistern, key), 'base64')
    .toString()
    .split(':')
  const login = ['login', '--tls-verify=false', '--authfile', authfile, '--username', 'AWS', '--password-stdin']
  await run(skopeo, [...login, cistern.host], { input: password })
  const target = join(cistern.directory, name)
  const copy = ['--insecure-policy', 'copy', '--quiet', '--src-tls-verify=false', '--src-authfile', authfile]
  await run(skopeo, [...copy, `docker://${cistern.host}/${image}`, `dir:${target}`])
  const manifest = await readFile(join(target, 'manifest.json'))
  return sha256(manifest)
}

withTools('skopeo', ...registryTools)('a cache that is managed by the ECR API', () => {
  it('pulls by a rule and a secret that were made while it ran, and keeps both over a restart', async () => {
    await using registry = await startRegistry('htpasswd')
    const { username = '', password = '' } = registry.account ?? {}
    const image = makeImage({ seed: 'ecr', layers: 2 })
    const other = makeImage({ seed: 'ecr-other', layers: 1 })
    await push(registry, 'private/image', 'v1', image)
    await push(registry, 'private/other', 'v1', other)
    await using cistern = await startCistern({ rules: [], config })
    const key = await firstKey(cistern)
    const Name = 'ecr-pullthroughcache/up'
    {
      using clients = clientsOf(cistern, key)
      const wrong = JSON.stringify({ username, accessToken: 'wrong-canary' })
      const { ARN } = await clients.secrets.send(new CreateSecretCommand({ Name, SecretString: wrong }))
      const ecrRepositoryPrefix = 'team'
      const upstreamRegistryUrl = registry.proxy.url
      const made = { ecrRepositoryPrefix, upstreamRegistryUrl, credentialArn: ARN ?? '' }
      await clients.ecr.send(new CreatePullThroughCacheRuleCommand(made))
      const validate = new ValidatePullThroughCacheRuleCommand({ ecrRepositoryPrefix })
      expect(await clients.ecr.send(validate)).toMatchObject({
        isValid: false,
        failure: expect.stringContaining('authentication to the upstream registry failed'),
      })
      const right = JSON.stringify({ username, accessToken: password })
      await clients.secrets.send(new PutSecretValueCommand({ SecretId: Name, SecretString: right }))
      expect(await clients.ecr.send(validate)).toMatchObject({ isValid: true })
    }

    expect(await loginAndCopy(cistern, key, 'team/private/image:v1', 'first')).toBe(image.digest)
    await cistern.restart()
    expect(await loginAndCopy(cistern, key, 'team/private/other:v1', 'second')).toBe(other.digest)

    {
      using clients = clientsOf(cistern, key)
      const { pullThroughCacheRules } = await clients.ecr.send(new DescribePullThroughCacheRulesCommand({}))
      expect(pullThroughCacheRules).toMatchObject([{ ecrRepositoryPrefix: 'team' }])
      await clients.ecr.send(new DeletePullThroughCacheRuleCommand({ ecrRepositoryPrefix: 'team' }))
    }
    registry.proxy.forget()
    expect(await loginAndCopy(cistern, key, 'team/private/image:v1', 'third')).toBe(image.digest)
    expect(registry.proxy.seen).toEqual([])
    expect(cistern.logs.join('\n')).not.toContain('canary')
    expect(cistern.logs.join('\n')).not.toContain(key.secretAccessKey)
  })

  it('F83: denies a key without rights, cold and warm, and its holder the API', async () => {
    await using registry = await startRegistry()
    await push(registry, 'team/app', 'v1', makeImage({ seed: 'denied', layers: 1 }))
    const login = {
      Statement: {
        Effect: 'Allow',
        Action: ['ecr:GetAuthorizationToken', 'ecr:CreatePullThroughCacheRule'],
        Resource: '*',
      },
    }
    const keys = { admin: 'AdministratorAccess', visitor: login }
    await using cistern = await startCistern({ rules: [{ prefix: 'up', upstream: registry.proxy.url }], config })
    const accessKeys = []
    for (const [user, policy] of Object.entries(keys)) {
      const secretFile = join(cistern.directory, `${user}.secret`)
      await writeFile(secretFile, `secret-canary-of-${user}`)
      accessKeys.push({ id: `KEY_${user}`, secretFile, user, policies: [policy] })
    }
    const file = join(cistern.directory, 'cistern.yaml')
    await writeFile(file, stringify({ ...parse(await readFile(file, 'utf8')), accessKeys }))
    await cistern.restart()
    const keyOf = (user: string) => ({ accessKeyId: `KEY_${user}`, secretAccessKey: `secret-canary-of-${user}` })
    const url = `${cistern.url}/v2/up/team/app/manifests/v1`
    const statusFor = async (token: string) => (await fetchDigest(url, { authorization: `Basic ${token}` })).status
    const [admin, visitor] = await Promise.all([tokenOf(cistern, keyOf('admin')), tokenOf(cistern, keyOf('visitor'))])

    expect(await statusFor(visitor)).toBe(403)
    expect(registry.proxy.seen).toEqual([])
    expect(await statusFor(admin)).toBe(200)
    expect(await statusFor(visitor)).toBe(403)
    expect((await fetchDigest(url)).status).toBe(401)
    using clients = clientsOf(cistern, keyOf('visitor'))
    await expect(clients.ecr.send(new DescribePullThroughCacheRulesCommand({}))).rejects.toMatchObject({
      name: 'AccessDeniedException',
      message: expect.stringContaining('arn:aws:iam::000000000000:user/visitor is not authorized'),
    })
    const secret = { Name: 'ecr-pullthroughcache/up', SecretString: '{"username":"u","accessToken":"canary"}' }
    using owner = clientsOf(cistern, keyOf('admin'))
    const { ARN = '' } = await owner.secrets.send(new CreateSecretCommand(secret))
    const stolen = { ecrRepositoryPrefix: 'mine', upstreamRegistryUrl: registry.proxy.url, credentialArn: ARN }
    await expect(clients.ecr.send(new CreatePullThroughCacheRuleCommand(stolen))).rejects.toMatchObject({
      name: 'AccessDeniedException',
      message: expect.stringContaining('secretsmanager:GetSecretValue'),
    })
    expect(cistern.logs.join('\n')).not.toContain('canary')
  })
})
