import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import {
  BatchGetImageCommand,
  type BatchGetImageCommandInput,
  DescribeImagesCommand,
  GetAuthorizationTokenCommand,
  type ImageIdentifier,
  SetRepositoryPolicyCommand,
} from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Ground, ruleTo } from '../../faults/ground.ts'
import { clientsOf } from '../../support/ecr.ts'
import { eventually } from '../../support/eventually.ts'
import {
  type FaultyUpstream,
  image,
  index,
  ociIndex,
  ociManifest,
  startUpstream,
} from '../../support/faulty-upstream.ts'
import { SignedRequests } from '../../support/signed-request.ts'

const cachedOnly = { Statement: { Effect: 'Allow', Action: ['ecr:BatchGetImage', 'ecr:Get*'], Resource: '*' } }
const none = `sha256:${'0'.repeat(64)}`

let resources: AsyncDisposableStack
let ground: Ground
let official: FaultyUpstream
let clients: ReturnType<typeof clientsOf>
let visitor: ReturnType<typeof clientsOf>

beforeAll(async () => {
  await using starting = new AsyncDisposableStack()
  const { path } = starting.use(await mkdtempDisposable(join(tmpdir(), 'cistern-images-')))
  const secretFile = join(path, 'secret')
  await writeFile(secretFile, 'secret-canary-of-all')
  const accessKeys = [
    { id: 'ADMIN', secretFile, user: 'admin', policies: ['AdministratorAccess'] },
    { id: 'VISITOR', secretFile, user: 'visitor', policies: [cachedOnly] },
  ]
  official = starting.use(await startUpstream())
  const rules = [ruleTo('hub.test', official.url, { dialect: 'docker-hub' })]
  const config = { auth: { mode: 'required' }, accessKeys }
  ground = starting.use(
    await Ground.start({ sites: 8, rules, config, rule: { tagTtl: '1h', repositories: { deny: ['secret/*'] } } }),
  )
  const keyOf = (accessKeyId: string) => ({ accessKeyId, secretAccessKey: 'secret-canary-of-all' })
  clients = starting.use(clientsOf(ground.cistern, keyOf('ADMIN')))
  visitor = starting.use(clientsOf(ground.cistern, keyOf('VISITOR')))
  resources = starting.move()
})

afterAll(async () => {
  expect(ground.cistern.logs.join('\n')).not.toContain('canary')
  await resources.disposeAsync()
})

const get = (input: BatchGetImageCommandInput, by = clients) => by.ecr.send(new BatchGetImageCommand(input))

const failuresOf = async (repositoryName: string, imageIds: ImageIdentifier[], by = clients) => {
  const { failures = [], images } = await get({ repositoryName, imageIds }, by)
  expect(images).toEqual([])
  return failures.map(({ failureCode }) => failureCode)
}

describe('images that are got', () => {
  it('are pulled on a miss, byte for byte, and are hits from then on', async () => {
    const { upstream, prefix } = ground.site()
    const child = image({ seed: 'got', layers: [10] })
    const list = upstream.addIndex('team/app', 'v1', index([child]))
    const repositoryName = `${prefix}/team/app`
    const imageIds = [{ imageTag: 'v1' }, { imageDigest: child.digest }]
    const ask = () => get({ repositoryName, imageIds, acceptedMediaTypes: [ociManifest] })
    const { images = [], failures } = await ask()

    expect(failures).toEqual([])
    expect(images).toEqual([
      {
        registryId: '000000000000',
        repositoryName,
        imageId: { imageDigest: list.digest, imageTag: 'v1' },
        imageManifest: list.bytes.toString(),
        imageManifestMediaType: ociIndex,
      },
      expect.objectContaining({
        imageId: { imageDigest: child.digest },
        imageManifest: child.bytes.toString(),
        imageManifestMediaType: ociManifest,
      }),
    ])
    upstream.forget()
    expect((await ask()).images).toEqual(images)
    expect(upstream.requests()).toEqual([])
  })

  it('are fetched once, however many ask', async () => {
    const { upstream, prefix } = ground.site()
    const wanted = Array.from({ length: 20 }, (_, n) => image({ seed: `many-${n}`, layers: [10] }))
    for (const each of wanted) upstream.addImage('app', undefined, each)
    const imageIds = wanted.map(({ digest }) => ({ imageDigest: digest }))
    const answers = await Promise.all([1, 2, 3].map(() => get({ repositoryName: `${prefix}/app`, imageIds })))
    for (const { images = [] } of answers) {
      expect(images.map(({ imageManifest }) => imageManifest)).toEqual(wanted.map(({ bytes }) => bytes.toString()))
    }
    expect(upstream.requests('GET', 'manifest')).toHaveLength(20)
  })

  it('that cannot be had are told one by one, and why', async () => {
    const { upstream, prefix } = ground.site()
    const { digest } = upstream.addImage('app', 'v1', image({ seed: 'fails', layers: [10] }))
    const repositoryName = `${prefix}/app`
    const failures = (...imageIds: ImageIdentifier[]) => failuresOf(repositoryName, imageIds)

    expect(await failures({}, { imageDigest: 'nonsense' }, { imageTag: '-' })).toEqual([
      'MissingDigestAndTag',
      'InvalidImageDigest',
      'InvalidImageTag',
    ])
    expect(await failures({ imageTag: 'v2' }, { imageDigest: none }, { imageDigest: 'sha256:ab' })).toEqual([
      'ImageNotFound',
      'ImageNotFound',
      'ImageNotFound',
    ])
    expect(await failures({ imageTag: 'v1', imageDigest: none })).toEqual(['ImageTagDoesNotMatchDigest'])
    const { images, failures: others } = await get({
      repositoryName,
      imageIds: [{ imageTag: 'v1', imageDigest: digest }, { imageTag: 'v2' }],
    })
    expect(images).toHaveLength(1)
    expect(others).toEqual([
      { imageId: { imageTag: 'v2' }, failureCode: 'ImageNotFound', failureReason: 'Requested image not found' },
    ])
  })

  it('are not more at a time than an answer should hold', async () => {
    const { upstream, prefix } = ground.site()
    const large = ['one', 'two', 'three'].map((seed) =>
      upstream.addManifest('app', seed, image({ seed, layers: [10], annotations: { padding: 'x'.repeat(3_000_000) } })),
    )
    const repositoryName = `${prefix}/app`
    const imageIds = large.map(({ digest }) => ({ imageDigest: digest }))
    await expect(get({ repositoryName, imageIds })).rejects.toMatchObject({ name: 'LimitExceededException' })
    for (let turn = 0; turn < 30; turn++) {
      expect((await get({ repositoryName, imageIds: imageIds.slice(1) })).images).toHaveLength(2)
    }
  })

  it('are not more than all answers together should hold that nobody takes', async () => {
    const { upstream, prefix } = ground.site()
    const padded = { layers: [10], annotations: { padding: 'x'.repeat(3_000_000) } }
    for (const seed of ['one', 'two']) upstream.addManifest('app', seed, image({ seed: `held ${seed}`, ...padded }))
    const imageIds = ['one', 'two'].map((imageTag) => ({ imageTag }))
    const body = JSON.stringify({ repositoryName: `${prefix}/app`, imageIds })
    const headers = {
      'content-type': 'application/x-amz-json-1.1',
      'x-amz-target': 'AmazonEC2ContainerRegistry_V20150921.BatchGetImage',
    }
    using requests = new SignedRequests(ground.cistern.url, {
      accessKeyId: 'ADMIN',
      secretAccessKey: 'secret-canary-of-all',
    })
    const opened = async () => requests.open({ service: 'ecr', body, headers })
    const untaken = [await opened(), await opened(), await opened(), await opened(), await opened()]
    expect(untaken.map(({ statusCode }) => statusCode)).toEqual(Array(5).fill(200))
    const refused = await opened()
    expect([refused.statusCode, await text(refused)]).toEqual([400, expect.stringContaining('ThrottlingException')])
    for (const response of untaken) response.destroy()
    await eventually(async () => {
      const { statusCode } = (await opened()).resume()
      expect(statusCode).toBe(200)
    })
  })

  it('that upstream keeps back are told apart', async () => {
    const { upstream, prefix } = ground.site()
    const repositoryName = `${prefix}/app`
    const failures = () => failuresOf(repositoryName, [{ imageTag: 'v1' }])
    upstream.fault('manifest', { status: 403 })
    expect(await failures()).toEqual(['UpstreamAccessDenied'])
    upstream.heal()
    await upstream.goDown()
    expect(await failures()).toEqual(['UpstreamUnavailable'])
    await upstream.comeUp()
    upstream.fault('manifest', { status: 429 })
    await eventually(async () => expect(await failures()).toEqual(['UpstreamTooManyRequests']))
  })

  it.each(['nowhere/app', 'site0.test/secret/app'])('of %s are those of no repository', async (repositoryName) => {
    await expect(get({ repositoryName, imageIds: [{ imageTag: 'v1' }] })).rejects.toMatchObject({
      name: 'RepositoryNotFoundException',
      message: `The repository with name '${repositoryName}' does not exist in the registry with id '000000000000'`,
    })
  })

  it('are those of the repository that pulls by that name lead to, and so are the rights to them', async () => {
    const { digest } = official.addImage('library/nginx', 'v1', image({ seed: 'official', layers: [10] }))
    const imageIds = [{ imageTag: 'v1' }]
    const { images = [] } = await get({ repositoryName: 'hub.test/nginx', imageIds })
    expect(images).toMatchObject([{ repositoryName: 'hub.test/library/nginx', imageId: { imageDigest: digest } }])
    const policyText = JSON.stringify({ Statement: { Effect: 'Deny', Principal: '*', Action: 'ecr:BatchGetImage' } })
    await clients.ecr.send(new SetRepositoryPolicyCommand({ repositoryName: 'hub.test/library/nginx', policyText }))
    for (const repositoryName of ['hub.test/nginx', 'hub.test/library/nginx']) {
      await expect(get({ repositoryName, imageIds })).rejects.toMatchObject({ name: 'AccessDeniedException' })
    }
  })

  it('are only those that are cached for whoever may not import, as on the data plane', async () => {
    const { upstream, prefix } = ground.site()
    const { digest } = upstream.addImage('app', 'v1', image({ seed: 'visited', layers: [10] }))
    const repositoryName = `${prefix}/app`
    const { authorizationData } = await visitor.ecr.send(new GetAuthorizationTokenCommand({}))
    const headers = { authorization: `Basic ${authorizationData?.[0]?.authorizationToken}` }
    const status = async () => (await ground.get(`/v2/${repositoryName}/manifests/v1`, { headers })).status

    expect(await failuresOf(repositoryName, [{ imageTag: 'v1' }], visitor)).toEqual(['ImageNotFound'])
    expect(await status()).toBe(404)
    expect(upstream.requests()).toEqual([])
    await get({ repositoryName, imageIds: [{ imageTag: 'v1' }] })
    const { images } = await get({ repositoryName, imageIds: [{ imageTag: 'v1' }] }, visitor)
    expect(images?.[0]?.imageId?.imageDigest).toBe(digest)
    expect(await status()).toBe(200)
  })

  it('are pulled, and when is still known after a restart', async () => {
    const { upstream, prefix } = ground.site()
    upstream.addImage('app', 'v1', image({ seed: 'when', layers: [10] }))
    const repositoryName = `${prefix}/app`
    await get({ repositoryName, imageIds: [{ imageTag: 'v1' }] })
    const pulledAt = async (by = clients) => {
      const { imageDetails = [] } = await by.ecr.send(new DescribeImagesCommand({ repositoryName }))
      return imageDetails[0]?.lastRecordedPullTime?.getTime()
    }
    const noted = await eventually(async () => {
      const time = await pulledAt()
      expect(time).toBeDefined()
      return time
    })
    await ground.cistern.restart()
    using again = clientsOf(ground.cistern, { accessKeyId: 'ADMIN', secretAccessKey: 'secret-canary-of-all' })
    expect(await pulledAt(again)).toBe(noted)
  })
})
