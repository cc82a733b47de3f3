import {
  BatchCheckLayerAvailabilityCommand,
  BatchDeleteImageCommand,
  BatchGetImageCommand,
  DescribeImagesCommand,
  DescribeRepositoriesCommand,
  GetDownloadUrlForLayerCommand,
  ListImageReferrersCommand,
  ListImagesCommand,
} from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { accessKeysFor, clientsOf, keyOf, loginOf } from '../support/ecr.ts'
import { type FaultyUpstream, type Image, image, startUpstream } from '../support/faulty-upstream.ts'
import { digestOfBytes, take, told } from './client.ts'
import { Ground, ruleTo } from './ground.ts'
import { Scratch } from './scratch.ts'

const MiB = 1024 * 1024
const teams = ['alice', 'bob'] as const
const repositoryOf = (team: string, name: string) => `${team}/${name}`

/** Each may do anything with the repositories of its own, and only that. */
const ofTeam = (team: string) => ({
  Statement: [
    { Effect: 'Allow', Action: 'ecr:GetAuthorizationToken', Resource: '*' },
    { Effect: 'Allow', Action: 'ecr:*', Resource: `arn:aws:ecr:*:*:repository/up.test/${team}/*` },
  ],
})

describe('keys of two teams under one rule', () => {
  const resources = new AsyncDisposableStack()
  let upstream: FaultyUpstream
  let ground: Ground
  const logins: Record<string, { authorization: string }> = {}

  beforeAll(async () => {
    const scratch = resources.use(await Scratch.start())
    upstream = resources.use(await startUpstream())
    const users = { alice: [ofTeam('alice')], bob: [ofTeam('bob')] }
    const accessKeys = await accessKeysFor(scratch.directory, users)
    const config = { auth: { mode: 'required' }, accessKeys }
    ground = resources.use(await Ground.start({ rules: [ruleTo('up.test', upstream.url)], config }))
    for (const team of teams) logins[team] = await loginOf(ground.cistern, keyOf(team))
  })
  afterAll(() => resources.disposeAsync())

  const asking = (team: string, more: object = {}) => ({
    headers: { ...logins[team], ...more },
  })

  /** An image of alice's alone. */
  function add(name: string): { own: Image; layer: string } {
    const own = image({ seed: name, layers: [3 * MiB] })
    upstream.addImage(repositoryOf('alice', name), 'v1', own)
    upstream.addImage(repositoryOf('bob', name), 'v1', image({ seed: `${name} of bob` }))
    upstream.forget()
    return { own, layer: own.layers[0]?.digest ?? '' }
  }

  /** What bob is told of an image of alice's, by all ways there are. */
  async function tellsBob(name: string, { digest, config, layers }: Image): Promise<unknown[]> {
    const blobs = [config, ...layers].map((blob) => `blobs/${blob.digest}`)
    const paths = ['manifests/v1', `manifests/${digest}`, ...blobs, `referrers/${digest}`, 'tags/list', 'tags/list?n=0']
    const pulled: unknown[] = []
    for (const path of paths) {
      const url = `${repositoryOf('alice', name)}/${path}`
      const { status, body } = await ground.at('up.test').get(url, { method: 'HEAD', ...asking('bob') })
      pulled.push([status, body.length])
      for (const range of [{}, { range: 'bytes=0-9' }, { range: 'bytes=-1' }]) {
        pulled.push(told(await ground.at('up.test').get(url, asking('bob', range))))
      }
    }
    pulled.push(told(await ground.get('/v2/_catalog', asking('bob'))))
    using bob = clientsOf(ground.cistern, keyOf('bob'))
    const repositoryName = `up.test/${repositoryOf('alice', name)}`
    const imageIds = [{ imageTag: 'v1' }, { imageDigest: digest }]
    const layerDigest = layers[0]?.digest ?? ''
    const commands = [
      bob.ecr.send(new BatchGetImageCommand({ repositoryName, imageIds })),
      bob.ecr.send(new GetDownloadUrlForLayerCommand({ repositoryName, layerDigest })),
      bob.ecr.send(new BatchCheckLayerAvailabilityCommand({ repositoryName, layerDigests: [layerDigest] })),
      bob.ecr.send(new ListImagesCommand({ repositoryName })),
      bob.ecr.send(new DescribeImagesCommand({ repositoryName, imageIds })),
      bob.ecr.send(new ListImageReferrersCommand({ repositoryName, subjectId: { imageDigest: digest } })),
      bob.ecr.send(new BatchDeleteImageCommand({ repositoryName, imageIds })),
      bob.ecr.send(new DescribeRepositoriesCommand({})),
      bob.ecr.send(new DescribeRepositoriesCommand({ repositoryNames: [repositoryName] })),
    ]
    const managed = await Promise.all(commands.map((answer) => answer.catch((error: Error) => error.name)))
    return [...pulled, ...managed]
  }

  /** The same of a layer of alice's, asked for by the name of a repository of bob's. */
  async function tellsBobAside(name: string, layer: string): Promise<unknown[]> {
    const repositoryName = `up.test/${repositoryOf('bob', name)}`
    const pulled = await Promise.all(
      ['GET', 'HEAD'].map((method) =>
        ground.at('up.test').blob(repositoryOf('bob', name), layer, { method, ...asking('bob') }),
      ),
    )
    using bob = clientsOf(ground.cistern, keyOf('bob'))
    const url = new GetDownloadUrlForLayerCommand({ repositoryName, layerDigest: layer })
    return [...pulled.map(({ status }) => status), await bob.ecr.send(url).catch((error: Error) => error.name)]
  }

  const aside = [404, 404, 'LayersNotFoundException']

  function expectRefusals(answers: unknown[]): void {
    for (const answer of answers) {
      expect([{ status: 403, code: 'DENIED' }, 'AccessDeniedException', [403, 0]]).toContainEqual(answer)
    }
  }

  it('F83, F85: one learns nothing of what the other has: cold, warm and in flight, by whatever way', async () => {
    const cold = add('cold')
    const coldly = await tellsBob('cold', cold.own)
    expectRefusals(coldly)
    expect(upstream.requests()).toEqual([])
    expect(await tellsBobAside('cold', cold.layer)).toEqual(aside)

    const warm = add('warm')
    const alice = ground.at('up.test')
    for (const path of ['manifests/v1', `blobs/${warm.own.config.digest}`, `blobs/${warm.layer}`, 'tags/list']) {
      expect((await alice.get(`${repositoryOf('alice', 'warm')}/${path}`, asking('alice'))).status).toBe(200)
    }
    await ground.keeps(warm.layer)
    expect(await tellsBob('warm', warm.own)).toEqual(coldly)
    expect(await tellsBobAside('warm', warm.layer)).toEqual(aside)

    const flying = add('flying')
    const { promise: resume, resolve: goOn } = Promise.withResolvers<void>()
    upstream.fault('blob', { pauseAfter: MiB, resume, method: 'GET', when: (seen) => seen.reference === flying.layer })
    const leading = await alice.openBlob(repositoryOf('alice', 'flying'), flying.layer, asking('alice'))
    const start = await take(leading, MiB / 2)
    expect(await tellsBob('flying', flying.own)).toEqual(coldly)
    expect(await tellsBobAside('flying', flying.layer)).toEqual(aside)
    goOn()
    const rest: Buffer[] = await leading.toArray()
    expect(digestOfBytes(Buffer.concat([start, ...rest]))).toBe(flying.layer)
  })
})
