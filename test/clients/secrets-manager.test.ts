import { CreatePullThroughCacheRuleCommand, ValidatePullThroughCacheRuleCommand } from '@aws-sdk/client-ecr'
import { CreateSecretCommand } from '@aws-sdk/client-secrets-manager'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type CisternProcess, ruleFor, startCistern } from '../support/cistern.ts'
import { clientsOf, firstKey } from '../support/ecr.ts'
import { fetchDigest } from '../support/http.ts'
import { makeImage } from '../support/images.ts'
import { Moto } from '../support/moto.ts'
import { push } from '../support/push.ts'
import { registryTools, startRegistry, type TestRegistry } from '../support/registry.ts'
import { withTools } from '../support/with-tools.ts'

const awsAccount = '123456789012'
const image = makeImage({ seed: 'secret', layers: 1 })

withTools('moto_server', ...registryTools)('a credential in AWS Secrets Manager', () => {
  const resources = new AsyncDisposableStack()
  let registry: TestRegistry
  let moto: Moto
  /** What opens the upstream. */
  let secret: { username: string; accessToken: string }

  beforeAll(async () => {
    registry = resources.use(await startRegistry('htpasswd'))
    moto = resources.use(await Moto.start())
    await push(registry, 'private/image', 'v1', image)
    const { username = '', password = '' } = registry.account ?? {}
    secret = { username, accessToken: password }
  })
  afterAll(() => resources.disposeAsync())

  const pull = (cistern: CisternProcess, prefix: string) =>
    fetchDigest(`${cistern.url}/v2/${prefix}/private/image/manifests/v1`)

  async function createRule(cistern: CisternProcess, ecrRepositoryPrefix: string, credentialArn: string) {
    using clients = clientsOf(cistern, await firstKey(cistern))
    const upstreamRegistryUrl = registry.proxy.url
    await clients.ecr.send(
      new CreatePullThroughCacheRuleCommand({ ecrRepositoryPrefix, upstreamRegistryUrl, credentialArn }),
    )
    return clients.ecr.send(new ValidatePullThroughCacheRuleCommand({ ecrRepositoryPrefix }))
  }

  it('opens an upstream, and stays out of the logs', async () => {
    const secretArn = await moto.createSecret('ecr-pullthroughcache/file', secret)
    const rules = [ruleFor(registry, { credential: { secretArn } })]
    await using cistern = await startCistern({ rules, env: moto.env })

    expect(await pull(cistern, 'up.example')).toMatchObject({ status: 200, digest: image.digest })
    expect(cistern.logs.join('\n')).not.toContain('canary')
  })

  it.each([
    ['of another account', 'other', '000000000000'],
    ['of the account of the registry, where it is not kept here', 'own', awsAccount],
  ])('%s opens the upstream of a rule that the API made', async (_whose, name, id) => {
    const arn = await moto.createSecret(`ecr-pullthroughcache/${name}`, secret)
    const config = { allowPrivateUpstreams: true, registry: { id } }
    await using cistern = await startCistern({ rules: [], env: moto.env, config })

    expect(await createRule(cistern, 'team', arn)).toMatchObject({ isValid: true })
    expect(await pull(cistern, 'team')).toMatchObject({ status: 200, digest: image.digest })
    expect(cistern.logs.join('\n')).not.toContain('canary')
  })

  it('stands back behind one that is kept here', async () => {
    const Name = 'ecr-pullthroughcache/here'
    await moto.createSecret(Name, { username: 'wrong', accessToken: 'wrong-canary' })
    const config = { allowPrivateUpstreams: true, registry: { id: awsAccount } }
    await using cistern = await startCistern({ rules: [], env: moto.env, config })
    using clients = clientsOf(cistern, await firstKey(cistern))
    const SecretString = JSON.stringify(secret)
    const { ARN = '' } = await clients.secrets.send(new CreateSecretCommand({ Name, SecretString }))

    expect(await createRule(cistern, 'team', ARN)).toMatchObject({ isValid: true })
  })

  it('is found at fault when a rule is made', async () => {
    const deleted = await moto.createSecret('ecr-pullthroughcache/deleted', secret)
    await moto.deleteSecret(deleted)
    const unreadable = {
      binary: Buffer.from(JSON.stringify(secret)),
      text: 'no-json-canary',
      strange: { user: 'u', token: 'canary' },
      numbers: { username: 1, accessToken: 2 },
      list: ['canary'],
    }
    const missing = `arn:aws:secretsmanager:us-east-1:${awsAccount}:secret:ecr-pullthroughcache/missing-AbCdEf`
    const config = { allowPrivateUpstreams: true }
    await using cistern = await startCistern({ rules: [], env: moto.env, config })

    await expect(createRule(cistern, 'team', missing)).rejects.toMatchObject({ name: 'SecretNotFoundException' })
    await expect(createRule(cistern, 'team', deleted)).rejects.toMatchObject({ name: 'UnableToAccessSecretException' })
    for (const [name, value] of Object.entries(unreadable)) {
      const arn = await moto.createSecret(`ecr-pullthroughcache/${name}`, value)
      const failure = await createRule(cistern, 'team', arn).catch((error: Error) => error)
      expect([name, failure]).toMatchObject([name, { name: 'UnableToDecryptSecretValueException' }])
      expect(String(failure)).not.toContain('canary')
    }
    expect((await pull(cistern, 'team')).status).toBe(404)
    expect(cistern.logs.join('\n')).not.toContain('canary')
  })
})
