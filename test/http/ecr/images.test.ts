import {
  BatchDeleteImageCommand,
  DescribeImagesCommand,
  type DescribeImagesCommandInput,
  type ImageIdentifier,
  ListImagesCommand,
  type ListImagesCommandInput,
} from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Ground, type Site } from '../../faults/ground.ts'
import { clientsOf, firstKey } from '../../support/ecr.ts'
import { eventually } from '../../support/eventually.ts'
import { dockerManifest, image, index, ociIndex, ociManifest } from '../../support/faulty-upstream.ts'

const registryId = '000000000000'
const config = { auth: { mode: 'open' } }

let ground: Ground
let clients: ReturnType<typeof clientsOf>

beforeAll(async () => {
  ground = await Ground.start({ sites: 4, config, rule: { tagTtl: '1h' } })
  clients = clientsOf(ground.cistern, await firstKey(ground.cistern))
})

afterAll(async () => {
  clients[Symbol.dispose]()
  await ground[Symbol.asyncDispose]()
})

const list = (input: ListImagesCommandInput) => clients.ecr.send(new ListImagesCommand(input))
const describeImages = (input: DescribeImagesCommandInput) => clients.ecr.send(new DescribeImagesCommand(input))

/** Pulls an image as clients do, its manifests without their blobs. */
async function pull(site: Site, repository: string, ...references: string[]) {
  for (const reference of references) expect((await site.manifest(repository, reference)).status).toBe(200)
}

const many = Array.from({ length: 101 }, () => ({ imageTag: 'a' }))

const textOf = ({ imageDigest, imageTag = '' }: ImageIdentifier) => `${imageDigest} ${imageTag}`

describe('the images of a repository', () => {
  it('are listed by their tags, and by their digests where they have none', async () => {
    const site = ground.site()
    const [one, two, three] = ['one', 'two', 'three'].map((seed) => image({ seed }))
    if (!one || !two || !three) throw new Error('no images')
    for (const tag of ['v1', 'latest']) site.upstream.addImage('app', tag, one)
    site.upstream.addImage('app', 'v2', two)
    site.upstream.addImage('app', undefined, three)
    await pull(site, 'app', 'v1', 'latest', 'v2', three.digest)
    const repositoryName = `${site.prefix}/app`
    const ids = [
      { imageDigest: one.digest, imageTag: 'latest' },
      { imageDigest: one.digest, imageTag: 'v1' },
      { imageDigest: two.digest, imageTag: 'v2' },
      { imageDigest: three.digest },
    ].sort((a, b) => (textOf(a) < textOf(b) ? -1 : 1))

    expect((await list({ repositoryName })).imageIds).toEqual(ids)
    const paged: ImageIdentifier[] = []
    let nextToken: string | undefined
    do {
      const page = await list({ repositoryName, maxResults: 1, ...(nextToken && { nextToken }) })
      expect(page.imageIds).toHaveLength(1)
      paged.push(...(page.imageIds ?? []))
      nextToken = page.nextToken
    } while (nextToken)
    expect(paged).toEqual(ids)
    const only = async (filter: ListImagesCommandInput['filter']) =>
      (await list({ repositoryName, filter })).imageIds?.map(textOf)
    expect(await only({ tagStatus: 'UNTAGGED' })).toEqual([`${three.digest} `])
    expect(await only({ tagStatus: 'TAGGED' })).toEqual(ids.map(textOf).filter((text) => !text.endsWith(' ')))
    expect(await only({ imageStatus: 'ARCHIVED' })).toEqual([])
  })

  it('are paged through while others come and go', async () => {
    const site = ground.site()
    const images = Array.from({ length: 6 }, (_, n) => image({ seed: `paged-${n}`, layers: [10] }))
    images.forEach((each, n) => void site.upstream.addImage('app', `v${n}`, each))
    const [late, ...early] = images.sort((a, b) => (a.digest < b.digest ? 1 : -1))
    await pull(site, 'app', ...early.map(({ digest }) => digest))
    const repositoryName = `${site.prefix}/app`
    const first = await describeImages({ repositoryName, maxResults: 2 })
    await pull(site, 'app', late?.digest ?? '')
    const imageIds = [{ imageDigest: first.imageDetails?.[1]?.imageDigest }]
    await clients.ecr.send(new BatchDeleteImageCommand({ repositoryName, imageIds }))
    const second = await describeImages({ repositoryName, nextToken: first.nextToken ?? '' })
    const digests = [...(first.imageDetails ?? []), ...(second.imageDetails ?? [])].map(
      ({ imageDigest }) => imageDigest,
    )
    expect(digests).toEqual(images.map(({ digest }) => digest).sort())
    expect(second.nextToken).toBeUndefined()
  })

  it('are described by what their manifests say, and when they came and went', async () => {
    const site = ground.site()
    const small = image({ seed: 'small', layers: [100], mediaType: dockerManifest })
    const large = image({ seed: 'large', layers: [3000, 2000], mediaType: dockerManifest })
    const list = index([small, large])
    const { descriptor: subject } = small
    const signature = image({ seed: 'signature', layers: [10], artifactType: 'application/vnd.test.sig', subject })
    site.upstream.addIndex('app', 'v1', list)
    site.upstream.addImage('app', undefined, signature)
    const startedAt = Date.now()
    await pull(site, 'app', 'v1', small.digest, signature.digest)
    const repositoryName = `${site.prefix}/app`
    const sizeOf = (of: typeof small) => of.config.size + of.layers.reduce((sum, { size }) => sum + size, 0)
    const details = async () => {
      const { imageDetails = [] } = await describeImages({ repositoryName })
      return new Map(imageDetails.map((detail) => [detail.imageDigest, detail]))
    }
    const told = await details()
    expect(told.size).toBe(3)
    expect(told.get(list.digest)).toMatchObject({
      registryId,
      repositoryName,
      imageTags: ['v1'],
      imageSizeInBytes: sizeOf(small),
      imageManifestMediaType: ociIndex,
    })
    const described = told.get(small.digest)
    expect(described).toMatchObject({
      imageSizeInBytes: sizeOf(small),
      imageManifestMediaType: dockerManifest,
      artifactMediaType: 'application/vnd.docker.container.image.v1+json',
    })
    expect(described).not.toHaveProperty('imageTags')
    expect(described).not.toHaveProperty('subjectManifestDigest')
    expect(Math.abs((described?.imagePushedAt?.getTime() ?? 0) - startedAt)).toBeLessThan(60_000)
    expect(told.get(signature.digest)).toMatchObject({
      imageManifestMediaType: ociManifest,
      artifactMediaType: 'application/vnd.test.sig',
      subjectManifestDigest: small.digest,
    })

    await pull(site, 'app', large.digest)
    expect((await details()).get(list.digest)?.imageSizeInBytes).toBe(sizeOf(large))
    await eventually(async () => {
      const pulledAt = (await details()).get(large.digest)?.lastRecordedPullTime?.getTime() ?? 0
      expect(Math.abs(pulledAt - Date.now())).toBeLessThan(60_000)
    })
  })

  it('that are asked for one by one have to be there', async () => {
    const site = ground.site()
    const there = image({ seed: 'there', layers: [10] })
    site.upstream.addImage('app', 'v1', there)
    site.upstream.addImage('app', 'v2', image({ seed: 'never pulled', layers: [10] }))
    await pull(site, 'app', 'v1')
    const repositoryName = `${site.prefix}/app`
    const { digest } = there
    const { imageDetails } = await describeImages({
      repositoryName,
      imageIds: [{ imageTag: 'v1' }, { imageDigest: digest }, { imageDigest: digest, imageTag: 'v1' }],
    })
    expect(imageDetails).toEqual([expect.objectContaining({ imageDigest: digest, imageTags: ['v1'] })])
    const missing = (id: string) =>
      `The image with imageId ${id} does not exist within the repository with name '${repositoryName}' in the registry with id '${registryId}'`
    await expect(describeImages({ repositoryName, imageIds: [{ imageTag: 'v2' }] })).rejects.toMatchObject({
      name: 'ImageNotFoundException',
      message: missing("{imageDigest:'null', imageTag:'v2'}"),
    })
    const other = `sha256:${'0'.repeat(64)}`
    const both = [{ imageDigest: other, imageTag: 'v1' }]
    await expect(describeImages({ repositoryName, imageIds: both })).rejects.toMatchObject({
      name: 'ImageNotFoundException',
      message: missing(`{imageDigest:'${other}', imageTag:'v1'}`),
    })
  })

  it.each([
    [{ imageIds: [{}] }, 'InvalidParameterException', 'both tag and digest cannot be null'],
    [{ imageIds: [{ imageDigest: 'nonsense' }] }, 'InvalidParameterException', 'image digest should satisfy the regex'],
    [{ imageIds: [{ imageTag: 'a' }], maxResults: 7 }, 'InvalidParameterException', 'must not stand beside'],
    [{ imageIds: many }, 'InvalidParameterException', 'less than or equal to 100'],
    [{ nextToken: 'bm9uc2Vuc2U' }, 'InvalidParameterException', 'nextToken'],
    [{ repositoryName: 'never/pulled' }, 'RepositoryNotFoundException', "with name 'never/pulled' does not exist"],
    [{ repositoryName: 'A' }, 'InvalidParameterException', 'repositoryName'],
  ])('are not described where they are asked for in a wrong way (%#)', async (input, name, message) => {
    const site = { prefix: 'site0.test' }
    await expect(describeImages({ repositoryName: `${site.prefix}/app`, ...input })).rejects.toMatchObject({
      name,
      message: expect.stringContaining(message),
    })
  })

  it('of a repository that is not there are not listed', async () => {
    await expect(list({ repositoryName: 'site0.test/none' })).rejects.toMatchObject({
      name: 'RepositoryNotFoundException',
      message: `The repository with name 'site0.test/none' does not exist in the registry with id '${registryId}'`,
    })
  })
})
