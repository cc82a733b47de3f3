import { ListImageReferrersCommand, type ListImageReferrersCommandInput } from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Ground } from '../../faults/ground.ts'
import { clientsOf, firstKey } from '../../support/ecr.ts'
import { image } from '../../support/faulty-upstream.ts'

const none = `sha256:${'0'.repeat(64)}`

let ground: Ground
let clients: ReturnType<typeof clientsOf>

beforeAll(async () => {
  ground = await Ground.start({ sites: 3 })
  clients = clientsOf(ground.cistern, await firstKey(ground.cistern))
})

afterAll(async () => {
  clients[Symbol.dispose]()
  await ground[Symbol.asyncDispose]()
})

const list = (repositoryName: string, imageDigest: string, more: Partial<ListImageReferrersCommandInput> = {}) =>
  clients.ecr.send(new ListImageReferrersCommand({ repositoryName, subjectId: { imageDigest }, ...more }))

describe('what refers to an image', () => {
  it('is told as upstream has it, by its types, in pages', async () => {
    const { upstream, prefix } = ground.site()
    const subject = upstream.addImage('app', 'v1', image({ seed: 'subject', layers: [10] }))
    const referrers = Array.from({ length: 25 }, (_, n) =>
      upstream.addImage(
        'app',
        undefined,
        image({
          seed: `referrer-${n}`,
          layers: [10],
          subject: subject.descriptor,
          artifactType: n < 5 ? 'application/vnd.test.sbom' : 'application/vnd.test.sig',
          annotations: { n: String(n) },
        }),
      ),
    )
    const repositoryName = `${prefix}/app`
    const digests = referrers.map(({ digest }) => digest).sort()
    const first = await list(repositoryName, subject.digest)
    const second = await list(repositoryName, subject.digest, { nextToken: first.nextToken ?? '' })
    expect(first.referrers).toHaveLength(20)
    expect(second.nextToken).toBeUndefined()
    expect([...(first.referrers ?? []), ...(second.referrers ?? [])].map(({ digest }) => digest)).toEqual(digests)

    const [one] = referrers
    const { referrers: boms = [] } = await list(repositoryName, subject.digest, {
      filter: { artifactTypes: ['application/vnd.test.sbom'] },
    })
    expect(boms).toHaveLength(5)
    expect(boms).toContainEqual({
      digest: one?.digest,
      mediaType: one?.mediaType,
      artifactType: 'application/vnd.test.sbom',
      size: one?.bytes.length,
      annotations: { n: '0' },
      artifactStatus: 'ACTIVE',
    })
    expect((await list(repositoryName, subject.digest, { filter: { artifactStatus: 'ARCHIVED' } })).referrers).toEqual(
      [],
    )
  })

  it('is nothing where nobody knows the image', async () => {
    const { prefix } = ground.site()
    for (const digest of [none, 'sha256:ab']) {
      expect((await list(`${prefix}/app`, digest)).referrers).toEqual([])
    }
  })

  it('cannot be told while upstream does not answer, nor of what is no repository', async () => {
    const { upstream, prefix } = ground.site()
    await upstream.goDown()
    await expect(list(`${prefix}/app`, none)).rejects.toMatchObject({
      name: 'UnableToListUpstreamImageReferrersException',
    })
    await expect(list('nowhere/app', none)).rejects.toMatchObject({ name: 'RepositoryNotFoundException' })
    await expect(list(`${prefix}/app`, none, { maxResults: 51 })).rejects.toMatchObject({
      name: 'InvalidParameterException',
    })
  })
})
