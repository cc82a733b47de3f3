import {
  BatchCheckLayerAvailabilityCommand,
  BatchGetImageCommand,
  CreatePullThroughCacheRuleCommand,
  GetDownloadUrlForLayerCommand,
} from '@aws-sdk/client-ecr'
import { CreateSecretCommand } from '@aws-sdk/client-secrets-manager'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { take } from '../../faults/client.ts'
import { Ground } from '../../faults/ground.ts'
import { clientsOf, firstKey } from '../../support/ecr.ts'
import { type FaultyUpstream, type Image, image, startUpstream } from '../../support/faulty-upstream.ts'

const MiB = 1024 * 1024
const users = { alice: 'canary-of-alice', bob: 'canary-of-bob' }
/** Each has repositories of its own, and both may pull this one. */
const shared = 'shared/app'

describe('two rules of the API with one upstream and an account each', () => {
  const resources = new AsyncDisposableStack()
  let upstream: FaultyUpstream
  let ground: Ground

  beforeAll(async () => {
    upstream = resources.use(await startUpstream())
    ground = resources.use(await Ground.start({ config: { allowPrivateUpstreams: true } }))
    using clients = clientsOf(ground.cistern, await firstKey(ground.cistern))
    for (const [username, accessToken] of Object.entries(users)) {
      const Name = `ecr-pullthroughcache/${username}`
      const SecretString = JSON.stringify({ username, accessToken })
      const { ARN = '' } = await clients.secrets.send(new CreateSecretCommand({ Name, SecretString }))
      const rule = { ecrRepositoryPrefix: username, upstreamRegistryUrl: upstream.url, credentialArn: ARN }
      await clients.ecr.send(new CreatePullThroughCacheRuleCommand(rule))
    }
  })
  afterAll(async () => {
    await resources.disposeAsync()
    expect(ground.cistern.logs.join('\n')).not.toContain('canary')
  })

  /** An image of alice alone, and one of both. */
  function add(name: string): { own: Image; ours: Image; repository: string } {
    const repository = `alice-only/${name}`
    const grants = { alice: [repository, shared], bob: [shared] }
    upstream.requireToken({ users, grants })
    upstream.forget()
    const own = upstream.addImage(repository, 'v1', image({ seed: `own ${name}`, layers: [3 * MiB] }))
    const ours = upstream.addImage(shared, name, image({ seed: `ours ${name}`, layers: [1000] }))
    return { own, ours, repository }
  }

  const pathsOf = ({ digest, config, layers }: Image) => [
    'manifests/v1',
    `manifests/${digest}`,
    ...[config, ...layers].map((blob) => `blobs/${blob.digest}`),
    'tags/list',
  ]

  /** What bob is told where he may not look. */
  async function tellsBob(repository: string, own: Image): Promise<unknown[]> {
    const answers = await Promise.all(
      pathsOf(own).flatMap((path) =>
        ['GET', 'HEAD'].map((method) => ground.at('bob').get(`${repository}/${path}`, { method })),
      ),
    )
    const [layer] = own.layers
    const aside = await ground.at('bob').blob(shared, layer?.digest ?? '')
    return [...answers.map(({ status }) => status), aside.status]
  }
  const refusals = (own: Image) => [...pathsOf(own).flatMap(() => [403, 403]), 404]

  it('share no image: cold', async () => {
    const { own, repository } = add('cold')
    expect(await tellsBob(repository, own)).toEqual(refusals(own))
    expect((await ground.at('alice').manifest(repository, 'v1')).status).toBe(200)
  })

  it('share no image: warm', async () => {
    const { own, repository } = add('warm')
    for (const path of pathsOf(own)) expect((await ground.at('alice').get(`${repository}/${path}`)).status).toBe(200)
    for (const blob of own.layers) await ground.keeps(blob.digest)
    expect(await tellsBob(repository, own)).toEqual(refusals(own))
  })

  it('share no image: in flight', async () => {
    const { own, repository } = add('flying')
    const digest = own.layers[0]?.digest ?? ''
    const { promise: resume, resolve: goOn } = Promise.withResolvers<void>()
    upstream.fault('blob', { pauseAfter: MiB, resume, method: 'GET', when: ({ reference }) => reference === digest })
    const leading = await ground.at('alice').openBlob(repository, digest)
    await take(leading, MiB / 2)
    expect(await tellsBob(repository, own)).toEqual(refusals(own))
    goOn()
    leading.destroy()
  })

  it('share no image by the API either, cold or warm', async () => {
    const { own, repository } = add('managed')
    const layer = own.layers[0]?.digest ?? ''
    using clients = clientsOf(ground.cistern, await firstKey(ground.cistern))
    const tells = async (prefix: string) => {
      const repositoryName = `${prefix}/${repository}`
      const imageIds = [{ imageTag: 'v1' }, { imageDigest: own.digest }]
      const { images, failures } = await clients.ecr.send(new BatchGetImageCommand({ repositoryName, imageIds }))
      const about = { repositoryName: `${prefix}/${shared}`, layerDigests: [layer] }
      const { layers } = await clients.ecr.send(new BatchCheckLayerAvailabilityCommand(about))
      const link = new GetDownloadUrlForLayerCommand({ repositoryName: `${prefix}/${shared}`, layerDigest: layer })
      const download = await clients.ecr.send(link).catch(({ name }: Error) => name)
      return [images?.length, failures?.map(({ failureCode }) => failureCode), layers?.[0]?.layerAvailability, download]
    }
    for (const prefix of ['alice', 'bob']) await ground.at(prefix).manifest(shared, 'managed')
    const refused = [0, ['UpstreamAccessDenied', 'UpstreamAccessDenied'], 'UNAVAILABLE', 'LayersNotFoundException']
    expect(await tells('bob')).toEqual(refused)
    for (const path of pathsOf(own)) await ground.at('alice').get(`${repository}/${path}`)
    await ground.keeps(layer)
    expect(await tells('alice')).toMatchObject([2, [], 'UNAVAILABLE', 'LayersNotFoundException'])
    expect(await tells('bob')).toEqual(refused)
  })

  it('share no token: what both may pull, each pulls by its own', async () => {
    const { ours } = add('both')
    const tokensOf = async (prefix: string) => {
      upstream.forget()
      const pulled = await ground.at(prefix).manifest(shared, 'both')
      expect([pulled.status, pulled.headers['docker-content-digest']]).toEqual([200, ours.digest])
      return upstream.requests('GET', 'manifest').map(({ headers }) => headers.authorization)
    }
    const [alice, bob] = [await tokensOf('alice'), await tokensOf('bob')]
    expect([alice.length, bob.length]).toEqual([1, 1])
    expect(alice).not.toEqual(bob)
  })
})
