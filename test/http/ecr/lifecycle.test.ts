import {
  CreateRepositoryCommand,
  DeleteLifecyclePolicyCommand,
  DescribeImagesCommand,
  GetLifecyclePolicyCommand,
  GetLifecyclePolicyPreviewCommand,
  PutLifecyclePolicyCommand,
  StartLifecyclePolicyPreviewCommand,
} from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { any, documentOf, keep, pulled, pushed, rule } from '../../lifecycle/documents.ts'
import { eventually } from '../../support/eventually.ts'
import { image, index } from '../../support/faulty-upstream.ts'
import { Governed, repositoryName } from './governed.ts'

const registryId = '000000000000'
const spaced = `{ "rules":\n [${JSON.stringify(rule(1, { ...any, ...keep(1000) }))}] }`

describe('a lifecycle policy', () => {
  let governed: Governed

  beforeAll(async () => {
    governed = await Governed.start()
    await governed.add('told', ['v1'])
  })

  afterAll(() => governed[Symbol.asyncDispose]())

  it('is told as it was given, with when it was applied, and deleted', async () => {
    const get = () => governed.ecr.send(new GetLifecyclePolicyCommand({ repositoryName }))
    const remove = () => governed.ecr.send(new DeleteLifecyclePolicyCommand({ repositoryName }))
    const missing = {
      name: 'LifecyclePolicyNotFoundException',
      message: `Lifecycle policy does not exist for the repository with name '${repositoryName}' in the registry with id '${registryId}'`,
    }
    for (const ask of [get, remove]) await expect(ask()).rejects.toMatchObject(missing)
    const told = { registryId, repositoryName, lifecyclePolicyText: spaced }
    expect(await governed.put(spaced)).toMatchObject(told)
    const lastEvaluatedAt = await governed.applied()
    expect(await get()).toMatchObject({ ...told, lastEvaluatedAt })
    expect(await remove()).toMatchObject({ ...told, lastEvaluatedAt })
    for (const ask of [get, remove]) await expect(ask()).rejects.toMatchObject(missing)
    const start = new StartLifecyclePolicyPreviewCommand({ repositoryName })
    await expect(governed.ecr.send(start)).rejects.toMatchObject(missing)
  })

  it('of a repository that is not there is not there either', async () => {
    const other = { repositoryName: 'up.test/none' }
    const asked = [
      () => governed.ecr.send(new PutLifecyclePolicyCommand({ ...other, lifecyclePolicyText: spaced })),
      () => governed.ecr.send(new GetLifecyclePolicyCommand(other)),
      () => governed.ecr.send(new DeleteLifecyclePolicyCommand(other)),
      () => governed.ecr.send(new StartLifecyclePolicyPreviewCommand({ ...other, lifecyclePolicyText: spaced })),
      () => governed.ecr.send(new GetLifecyclePolicyPreviewCommand(other)),
    ]
    for (const ask of asked) {
      await expect(ask()).rejects.toMatchObject({
        name: 'RepositoryNotFoundException',
        message: `The repository with name 'up.test/none' does not exist in the registry with id '${registryId}'`,
      })
    }
  })

  it.each([
    ['x'.repeat(99), "'lifecyclePolicyText' failed to satisfy constraint: 'Member must have length greater than"],
    ['x'.repeat(30_721), 'length less than or equal to 30720'],
    ['x'.repeat(100), "'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation failure: "],
    [documentOf(rule(1, { ...any, ...pushed(0) }, { description: 'x'.repeat(100) })), 'countNumber'],
  ])('is refused: %.100s', async (text, message) => {
    const refused = { name: 'InvalidParameterException', message: expect.stringContaining(message) }
    await expect(governed.put(text)).rejects.toMatchObject(refused)
    const start = new StartLifecyclePolicyPreviewCommand({ repositoryName, lifecyclePolicyText: text })
    await expect(governed.ecr.send(start)).rejects.toMatchObject(refused)
  })

  it('has no preview before one was started', async () => {
    const repositoryName = 'up.test/new'
    await governed.ecr.send(new CreateRepositoryCommand({ repositoryName }))
    const get = new GetLifecyclePolicyPreviewCommand({ repositoryName })
    await expect(governed.ecr.send(get)).rejects.toMatchObject({ name: 'LifecyclePolicyPreviewNotFoundException' })
  })
})

describe('what a lifecycle policy lets go', () => {
  it('is gone from the repository and from disk, all but what others need, and fetched again by the next pull', async () => {
    await using governed = await Governed.start()
    const { appliance } = governed
    const { upstream } = appliance
    const old = image({ seed: 'old', layers: [1000, 2000] })
    const [own, shared] = old.layers
    if (!own || !shared) throw new Error('no layers')
    const young = image({ seed: 'young', layers: [3000] })
    upstream.addImage('app', 'old', old)
    upstream.addBlob('app', shared)
    for (const { digest } of [old.config, own, shared]) await appliance.blob(digest)
    await governed.pull('old')
    governed.pass(2)
    const list = index([young])
    upstream.addIndex('app', 'list', list)
    await governed.pull('list', young.digest)
    for (const { digest } of [young.config, ...young.layers]) await appliance.blob(digest)
    await appliance.settles()

    await governed.put(documentOf(rule(1, { ...any, ...pushed(1) })))
    await governed.applied()
    expect((await governed.digests()).sort()).toEqual([list.digest, young.digest].sort())
    const kept = [list, young, young.config, ...young.layers].map(({ digest }) => digest as string)
    expect((await appliance.stored()).sort()).toEqual(kept.sort())
    expect(await appliance.metric('cistern_expired_images_total')).toBe(1)

    upstream.forget()
    await governed.pull('list', young.digest)
    expect(upstream.requests('GET')).toEqual([])
    await governed.pull('old')
    expect((await appliance.blob(own.digest)).status).toBe(200)
    expect(upstream.requests('GET', 'manifest')).toHaveLength(1)
    expect(upstream.requests('GET', 'blob')).toHaveLength(1)
    expect(appliance.faults).toEqual([])
  })

  it('keeps layers that an image shares which stays', async () => {
    await using governed = await Governed.start()
    const { appliance } = governed
    const base = image({ seed: 'base', layers: [5000] })
    const [layer] = base.layers
    const derived = image({ seed: 'base', layers: [5000, 100] })
    expect(derived.layers.map(({ digest }) => digest)).toContain(layer?.digest)
    appliance.upstream.addImage('app', 'base', base)
    appliance.upstream.addImage('app', 'derived', derived)
    await governed.pull('base')
    await appliance.blob(layer?.digest ?? '')
    governed.pass(2)
    await governed.pull('derived')
    await appliance.settles()
    await governed.put(documentOf(rule(1, { ...any, ...keep(1) })))
    await governed.applied()
    expect(await governed.digests()).toEqual([derived.digest])
    expect(await appliance.stored()).toContain(layer?.digest)
    appliance.upstream.forget()
    expect((await appliance.blob(layer?.digest ?? '')).status).toBe(200)
    expect(appliance.upstream.requests()).toEqual([])
  })

  it('is what nobody pulled for so long, where the policy says that, and nothing that is pinned', async () => {
    await using governed = await Governed.start({ rule: { pin: ['app:pinned'] } })
    const { appliance, ecr } = governed
    const [idle, used, pinned] = [
      await governed.add('idle', ['idle']),
      await governed.add('used', ['used']),
      await governed.add('pinned', ['pinned']),
    ]
    governed.pass(10)
    await governed.pull('used')
    await eventually(async () => {
      const imageIds = [{ imageTag: 'used' }]
      const { imageDetails = [] } = await ecr.send(new DescribeImagesCommand({ repositoryName, imageIds }))
      const pulledAt = imageDetails[0]?.lastRecordedPullTime?.getTime() ?? 0
      expect(pulledAt).toBeGreaterThan(Date.now() + 9 * 86_400_000)
    })
    await governed.put(documentOf(rule(1, { ...any, ...pulled(7) })))
    await governed.applied()
    expect((await governed.digests()).sort()).toEqual([used.digest, pinned.digest].sort())
    expect(await appliance.stored()).not.toContain(idle.digest)
  })
})
