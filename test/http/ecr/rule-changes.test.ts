import {
  CreatePullThroughCacheRuleCommand,
  DeletePullThroughCacheRuleCommand,
  UpdatePullThroughCacheRuleCommand,
} from '@aws-sdk/client-ecr'
import { CreateSecretCommand } from '@aws-sdk/client-secrets-manager'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { digestOfBytes, take } from '../../faults/client.ts'
import { Ground } from '../../faults/ground.ts'
import { clientsOf, firstKey } from '../../support/ecr.ts'
import { eventually } from '../../support/eventually.ts'
import { type FaultyUpstream, image, startUpstream } from '../../support/faulty-upstream.ts'

const MiB = 1024 * 1024

const transfersFrom = (upstream: FaultyUpstream): number =>
  upstream.requests('GET', 'blob').filter(({ status }) => status === 200).length

describe('while a blob is on its way', () => {
  const resources = new AsyncDisposableStack()
  let ground: Ground
  let clients: ReturnType<typeof clientsOf>

  beforeAll(async () => {
    ground = resources.use(await Ground.start({ config: { allowPrivateUpstreams: true } }))
    clients = resources.use(clientsOf(ground.cistern, await firstKey(ground.cistern)))
  })
  afterAll(() => resources.disposeAsync())

  async function secret(name: string, username: string, accessToken: string): Promise<string> {
    const SecretString = JSON.stringify({ username, accessToken })
    const command = new CreateSecretCommand({ Name: `ecr-pullthroughcache/${name}`, SecretString })
    return (await clients.secrets.send(command)).ARN ?? ''
  }

  /** Makes a rule, asks for a blob under it, and takes what comes while upstream holds back the rest. */
  async function begin(upstream: FaultyUpstream, ecrRepositoryPrefix: string, credentialArn: string) {
    const upstreamRegistryUrl = upstream.url
    const rule = { ecrRepositoryPrefix, upstreamRegistryUrl, credentialArn }
    await clients.ecr.send(new CreatePullThroughCacheRuleCommand(rule))
    const { digest, layers } = upstream.addImage('app', 'v1', image({ seed: ecrRepositoryPrefix, layers: [4 * MiB] }))
    const blob = layers[0]?.digest ?? ''
    const { promise: resume, resolve: goOn } = Promise.withResolvers<void>()
    upstream.fault('blob', { pauseAfter: MiB, resume, method: 'GET', times: 1 })
    const response = await ground.at(ecrRepositoryPrefix).openBlob('app', blob)
    const start = await take(response, MiB / 2)
    const finish = async () => {
      goOn()
      return digestOfBytes(Buffer.concat([start, ...(await response.toArray())]))
    }
    return { manifest: digest, blob, finish }
  }

  it('its rule may be deleted: the blob comes whole, and nothing more is fetched', async () => {
    await using upstream = await startUpstream()
    upstream.requireBasic('a', 'canary')
    const { manifest, blob, finish } = await begin(upstream, 'deleted', await secret('deleted', 'a', 'canary'))
    await clients.ecr.send(new DeletePullThroughCacheRuleCommand({ ecrRepositoryPrefix: 'deleted' }))
    expect((await ground.at('deleted').manifest('app', manifest)).status).toBe(404)
    expect(await finish()).toBe(blob)
    await eventually(async () => {
      expect(digestOfBytes((await ground.at('deleted').blob('app', blob)).body)).toBe(blob)
    })
    expect(transfersFrom(upstream)).toBe(1)
  })

  it('its rule may get another secret: the blob comes whole, and the next question is asked with that', async () => {
    await using upstream = await startUpstream()
    upstream.requireBasic('a', 'canary')
    const { manifest, blob, finish } = await begin(upstream, 'changed', await secret('changed', 'a', 'canary'))
    upstream.requireBasic('b', 'canary')
    const credentialArn = await secret('changed-since', 'b', 'canary')
    const change = { ecrRepositoryPrefix: 'changed', credentialArn }
    await clients.ecr.send(new UpdatePullThroughCacheRuleCommand(change))
    expect((await ground.at('changed').manifest('app', manifest)).status).toBe(200)
    expect(await finish()).toBe(blob)
    expect(transfersFrom(upstream)).toBe(1)
  })
})
