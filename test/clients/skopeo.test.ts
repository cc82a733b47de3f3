import { expect, it } from 'vitest'
import { ruleFor, startCistern } from '../support/cistern.ts'
import { image as imageOf, startUpstream } from '../support/faulty-upstream.ts'
import { makeImage, makeIndex, type TestImage } from '../support/images.ts'
import { push } from '../support/push.ts'
import { registryTools, startRegistry } from '../support/registry.ts'
import { withTools } from '../support/with-tools.ts'
import { skopeoCopy, skopeoTags } from './skopeo.ts'

const everything = (image: TestImage): string[] => [
  image.digest,
  ...image.blobs.map((blob) => blob.digest),
  ...image.children.flatMap(everything),
]

withTools('skopeo', ...registryTools)('skopeo', () => {
  it.each(['open', 'htpasswd', 'token'] as const)(
    'copies from an upstream with %s access, once',
    async (authentication) => {
      await using registry = await startRegistry(authentication)
      await using cistern = await startCistern({ rules: [ruleFor(registry)] })
      const image = makeImage({ seed: authentication, layers: 3 })
      await push(registry, 'private/image', 'v1', image)
      const source = `${cistern.host}/up.example/private/image:v1`

      const cold = await skopeoCopy(source)
      const blobRequests = registry.proxy.seen.filter(
        ({ path, authorization }) => path.includes('/blobs/') && (authorization || authentication === 'open'),
      )
      registry.proxy.forget()
      const warm = await skopeoCopy(source)

      expect(cold.digest).toBe(image.digest)
      expect([...cold.digests].sort()).toEqual(everything(image).sort())
      expect(blobRequests.map(({ method }) => method)).toEqual(image.blobs.map(() => 'GET'))
      expect(warm).toEqual(cold)
      expect(registry.proxy.seen).toEqual([])
      expect(new Set(registry.tokens?.scopes ?? [])).toEqual(
        new Set(registry.tokens && ['repository:private/image:pull']),
      )
    },
  )

  it('copies docker images with the type they have', async () => {
    await using registry = await startRegistry()
    await using cistern = await startCistern({ rules: [ruleFor(registry)] })
    const index = makeIndex({ seed: 'docker', family: 'docker' })
    await push(registry, 'team/docker', 'v1', index)

    const { digest, digests } = await skopeoCopy(`${cistern.host}/up.example/team/docker:v1`, { all: true })

    expect(digest).toBe(index.digest)
    expect([...digests].sort()).toEqual(everything(index).sort())
  })

  it('copies by tag, by digest and all of an index while the upstream is down', async () => {
    await using registry = await startRegistry('htpasswd')
    await using cistern = await startCistern({ rules: [ruleFor(registry, { tagTtl: '0' })] })
    const index = makeIndex({ seed: 'outage' })
    await push(registry, 'team/app', 'v1', index)
    const repository = `${cistern.host}/up.example/team/app`
    await skopeoCopy(`${repository}:v1`, { all: true })
    await registry.proxy.switchOff()

    const byTag = await skopeoCopy(`${repository}:v1`, { all: true })
    const byDigest = await skopeoCopy(`${repository}@${index.digest}`, { all: true })
    const child = await skopeoCopy(`${repository}@${index.children[1]?.digest}`)

    expect([...byTag.digests].sort()).toEqual(everything(index).sort())
    expect(byDigest).toEqual(byTag)
    expect(child.digest).toBe(index.children[1]?.digest)
  })

  it('lists the tags that upstream has, and those that are cached while it is down', async () => {
    await using registry = await startRegistry('token')
    await using cistern = await startCistern({ rules: [ruleFor(registry)] })
    for (const tag of ['v1', 'v2', 'v3']) await push(registry, 'team/app', tag, makeImage({ seed: tag, layers: 1 }))
    const repository = `${cistern.host}/up.example/team/app`
    await skopeoCopy(`${repository}:v2`)

    expect(await skopeoTags(repository)).toEqual(['v1', 'v2', 'v3'])
    await registry.proxy.switchOff()
    expect(await skopeoTags(repository)).toContain('v2')
  })

  it('leaves no trace of the credential in logs, metrics and answers', async () => {
    await using registry = await startRegistry('token')
    await using cistern = await startCistern({ rules: [ruleFor(registry)] })
    await push(registry, 'private/image', 'v1', makeImage({ seed: 'canary', layers: 1 }))
    await skopeoCopy(`${cistern.host}/up.example/private/image:v1`)
    const unknown = await fetch(`${cistern.url}/v2/up.example/private/image/manifests/none`)
    const metrics = await fetch(`${cistern.adminUrl}/metrics`)
    const traces = [...cistern.logs, await unknown.text(), await metrics.text()].join('\n')

    expect(traces).toContain('private/image')
    expect(traces).not.toContain('canary')
    expect(traces).not.toMatch(/Bearer ey|eyJ0eXAi/)
  })

  it('A7: copies an image whole whose transfer the upstream broke off', async () => {
    await using upstream = await startUpstream()
    await using cistern = await startCistern({ rules: [{ prefix: 'up.example', upstream: upstream.url }] })
    const { digest, layers } = upstream.addImage('team/app', 'v1', imageOf({ layers: [4_000_000] }))
    const layer = layers[0]?.digest
    upstream.fault('blob', { resetAfter: 1_500_000, times: 1, when: ({ reference }) => reference === layer })

    const copied = await skopeoCopy(`${cistern.host}/up.example/team/app:v1`)
    const transfers = upstream.requests('GET', 'blob', layer)

    expect(copied.digest).toBe(digest)
    expect(copied.digests).toContain(layer)
    expect(transfers.map(({ headers }) => headers.range)).toEqual([
      undefined,
      expect.stringMatching(/^bytes=[1-9]\d*-/),
    ])
  })

  it('A9: refuses what a corrupt upstream sends, and copies it once it is mended', async () => {
    await using upstream = await startUpstream()
    await using cistern = await startCistern({ rules: [{ prefix: 'up.example', upstream: upstream.url }] })
    const { digest, layers } = upstream.addImage('team/app', 'v1', imageOf({ layers: [3_000_000] }))
    upstream.fault('blob', { corruptAt: 100 })
    const source = `${cistern.host}/up.example/team/app:v1`

    await expect(skopeoCopy(source)).rejects.toThrow('ended with 1')
    upstream.heal()
    const copied = await skopeoCopy(source)

    expect(copied.digest).toBe(digest)
    expect(copied.digests).toContain(layers[0]?.digest)
  })
})
