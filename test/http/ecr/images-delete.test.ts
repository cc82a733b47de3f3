import {
  BatchDeleteImageCommand,
  DescribeRepositoriesCommand,
  type ImageIdentifier,
  ListImagesCommand,
} from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { digestOfBytes } from '../../faults/client.ts'
import { Ground, type Site } from '../../faults/ground.ts'
import { clientsOf, firstKey } from '../../support/ecr.ts'
import { type Image, image, index } from '../../support/faulty-upstream.ts'

const none = `sha256:${'0'.repeat(64)}`

let ground: Ground
let clients: ReturnType<typeof clientsOf>

beforeAll(async () => {
  ground = await Ground.start({ sites: 6, rule: { tagTtl: '1h' } })
  clients = clientsOf(ground.cistern, await firstKey(ground.cistern))
})

afterAll(async () => {
  clients[Symbol.dispose]()
  await ground[Symbol.asyncDispose]()
})

const remove = async (repositoryName: string, ...imageIds: ImageIdentifier[]) => {
  const { imageIds: deleted, failures } = await clients.ecr.send(
    new BatchDeleteImageCommand({ repositoryName, imageIds }),
  )
  return { deleted, failures: failures?.map(({ failureCode }) => failureCode) }
}

const listed = async (repositoryName: string) =>
  (await clients.ecr.send(new ListImagesCommand({ repositoryName }))).imageIds

/** Pulls all of an image, and waits until all of it is on disk. */
async function pull(site: Site, repository: string, reference: string, { config, layers }: Image) {
  expect((await site.manifest(repository, reference)).status).toBe(200)
  for (const { digest } of [config, ...layers]) {
    expect((await site.blob(repository, digest)).status).toBe(200)
    await ground.keeps(digest)
  }
}

const partsOf = ({ digest, config, layers }: Image) => [digest, config.digest, ...layers.map(({ digest }) => digest)]

/** Which of these are on disk. */
async function onDisk(...digests: string[]): Promise<string[]> {
  const stored = new Set(await ground.stored())
  return digests.filter((digest) => stored.has(digest))
}

describe('images that are deleted', () => {
  it('go with their last tag, from the disk too, and come again with the next pull', async () => {
    const site = ground.site()
    const wanted = image({ seed: 'deleted', layers: [5000] })
    for (const tag of ['v1', 'v2']) site.upstream.addImage('app', tag, wanted)
    const name = `${site.prefix}/app`
    const imageDigest = wanted.digest
    for (const tag of ['v1', 'v2']) await pull(site, 'app', tag, wanted)

    expect(await remove(name, { imageTag: 'v1' })).toEqual({
      deleted: [{ imageDigest, imageTag: 'v1' }],
      failures: [],
    })
    expect(await listed(name)).toEqual([{ imageDigest, imageTag: 'v2' }])
    expect(await onDisk(...partsOf(wanted))).toEqual(partsOf(wanted))
    expect(await remove(name, { imageTag: 'v2' })).toEqual({
      deleted: [{ imageDigest, imageTag: 'v2' }],
      failures: [],
    })
    expect(await listed(name)).toEqual([])
    expect(await onDisk(...partsOf(wanted))).toEqual([])
    const { repositories = [] } = await clients.ecr.send(new DescribeRepositoriesCommand({ repositoryNames: [name] }))
    expect(repositories).toHaveLength(1)

    site.upstream.forget()
    await pull(site, 'app', 'v2', wanted)
    expect(site.upstream.requests('GET', 'manifest')).toHaveLength(1)
    expect(site.upstream.requests('GET', 'blob')).toHaveLength(2)
    expect(await listed(name)).toEqual([{ imageDigest, imageTag: 'v2' }])
  })

  it('go by their digest with all their tags, and are told once for each', async () => {
    const site = ground.site()
    const [tagged, bare] = [image({ seed: 'tagged', layers: [10] }), image({ seed: 'bare', layers: [10] })]
    for (const tag of ['b', 'a']) site.upstream.addImage('app', tag, tagged)
    site.upstream.addImage('app', undefined, bare)
    for (const reference of ['a', 'b', bare.digest]) await site.manifest('app', reference)
    const name = `${site.prefix}/app`
    const ids = [{ imageDigest: tagged.digest }, { imageDigest: bare.digest }, { imageDigest: none }, {}]
    expect(await remove(name, ...ids)).toEqual({
      deleted: [
        { imageDigest: tagged.digest, imageTag: 'a' },
        { imageDigest: tagged.digest, imageTag: 'b' },
        { imageDigest: bare.digest },
      ],
      failures: ['ImageNotFound', 'MissingDigestAndTag'],
    })
    expect(await onDisk(tagged.digest, bare.digest)).toEqual([])
  })

  it('are not those that an index lists, but go with it', async () => {
    const site = ground.site()
    const children = ['one', 'two'].map((seed) => image({ seed, layers: [1000] }))
    const [one, two] = children
    if (!one || !two) throw new Error('no images')
    const list = site.upstream.addIndex('app', 'v1', index(children))
    await site.manifest('app', 'v1')
    for (const child of children) await pull(site, 'app', child.digest, child)
    const name = `${site.prefix}/app`
    const parts = children.flatMap(partsOf)

    expect(await remove(name, { imageDigest: one.digest })).toEqual({
      deleted: [],
      failures: ['ImageReferencedByManifestList'],
    })
    expect(await onDisk(...parts)).toEqual(parts)
    expect(await remove(name, { imageDigest: two.digest }, { imageTag: 'v1' })).toEqual({
      deleted: [{ imageDigest: two.digest }, { imageDigest: list.digest, imageTag: 'v1' }],
      failures: [],
    })
    expect(await listed(name)).toEqual([])
    expect(await onDisk(list.digest, ...parts)).toEqual([])
  })

  it('leave what other images and repositories need', async () => {
    const site = ground.site()
    const [base, more] = [[5000], [5000, 6000]].map((layers) => image({ seed: 'shared', layers }))
    if (!base || !more) throw new Error('no images')
    site.upstream.addImage('app', 'base', base)
    site.upstream.addImage('app', 'more', more)
    site.upstream.addImage('other', 'base', base)
    await pull(site, 'app', 'base', base)
    await pull(site, 'app', 'more', more)
    await pull(site, 'other', 'base', base)
    const name = `${site.prefix}/app`

    await remove(name, { imageTag: 'base' }, { imageTag: 'more' })
    expect(await listed(name)).toEqual([])
    expect(await onDisk(...partsOf(base))).toEqual(partsOf(base))
    expect(await onDisk(more.digest, more.layers[1]?.digest ?? '')).toEqual([])
    site.upstream.forget()
    await pull(site, 'other', 'base', base)
    expect(site.upstream.requests()).toEqual([])
    await remove(`${site.prefix}/other`, { imageTag: 'base' })
    expect(await onDisk(...partsOf(base))).toEqual([])
  })

  it('are read to the end by whoever had begun', async () => {
    const site = ground.site()
    const wanted = image({ seed: 'read', layers: [8_000_000] })
    const [layer] = wanted.layers
    site.upstream.addImage('app', 'v1', wanted)
    await pull(site, 'app', 'v1', wanted)
    const reading = await site.openBlob('app', layer?.digest ?? '')
    await remove(`${site.prefix}/app`, { imageTag: 'v1' })
    expect(await onDisk(...partsOf(wanted))).toEqual([])
    expect(digestOfBytes(Buffer.concat(await reading.toArray()))).toBe(layer?.digest)
  })

  it('do no harm to a transfer that is under way', async () => {
    const site = ground.site()
    const wanted = image({ seed: 'transfer', layers: [3_000_000] })
    const [layer] = wanted.layers
    site.upstream.addImage('app', 'v1', wanted)
    const resume = Promise.withResolvers<void>()
    site.upstream.fault('blob', { pauseAfter: 1_000_000, resume: resume.promise })
    await site.manifest('app', 'v1')
    const reading = await site.openBlob('app', layer?.digest ?? '')
    expect((await remove(`${site.prefix}/app`, { imageTag: 'v1' })).failures).toEqual([])
    resume.resolve()
    expect(digestOfBytes(Buffer.concat(await reading.toArray()))).toBe(layer?.digest)
    expect(site.upstream.requests('GET', 'blob')).toHaveLength(1)
    expect(await listed(`${site.prefix}/app`)).toEqual([])
  })

  it('of a repository that is not there are missed', async () => {
    await expect(remove('site0.test/none', { imageTag: 'v1' })).rejects.toMatchObject({
      name: 'RepositoryNotFoundException',
    })
  })
})
