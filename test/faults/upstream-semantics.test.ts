import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { type FaultyUpstream, image, index, randomBlob, startUpstream } from '../support/faulty-upstream.ts'
import { told } from './client.ts'
import { Ground, ruleTo, type Site } from './ground.ts'

const repository = 'team/app'
const unavailable = { status: 502, code: 'UNAVAILABLE' }
const throttled = { status: 429, code: 'TOOMANYREQUESTS' }
const manifestUnknown = { status: 404, code: 'MANIFEST_UNKNOWN' }
const ok = { status: 200, code: undefined }

const resources = new AsyncDisposableStack()
let ground: Ground
let keeping: FaultyUpstream
let remembering: FaultyUpstream

beforeAll(async () => {
  keeping = resources.use(await startUpstream())
  remembering = resources.use(await startUpstream())
  ground = resources.use(
    await Ground.start({
      sites: 24,
      rules: [
        ruleTo('keeping.test', keeping.url, { onUnknownTag: 'keep' }),
        ruleTo('remembering.test', remembering.url, { negativeTtl: '500ms' }),
      ],
    }),
  )
})

afterAll(() => resources.disposeAsync())

/** A site with an image whose tag `v1` is cached, and no request on its record. */
async function warm(seed: string) {
  const site = ground.site()
  const pushed = site.upstream.addImage(repository, 'v1', image({ seed }))
  expect(told(await site.manifest(repository, 'v1'))).toEqual(ok)
  site.upstream.forget()
  return { site, upstream: site.upstream, pushed }
}

const tagDigest = async (site: Site, tag = 'v1') =>
  (await site.manifest(repository, tag)).headers['docker-content-digest']

describe.concurrent('an upstream that refuses', () => {
  it('B26: out of quota on a check: the tag is served stale, and nobody asks before Retry-After', async () => {
    const { site, upstream, pushed } = await warm('B26')
    upstream.fault('*', { status: 429, headers: { 'retry-after': '60' } })

    for (let pull = 0; pull < 3; pull++) {
      const got = await site.manifest(repository, 'v1')
      expect(got).toMatchObject({ status: 200, headers: { 'docker-content-digest': pushed.digest } })
      expect(got.headers.warning).toBe('299 cistern "stale: upstream throttled"')
    }
    expect(told(await site.blob(repository, pushed.config.digest))).toEqual(throttled)
    expect(upstream.requests()).toHaveLength(1)
  })

  it('B26: once Retry-After is over, upstream is asked again', async () => {
    const { site, upstream } = await warm('B26 over')
    upstream.fault('*', { status: 429, headers: { 'retry-after': '1' }, times: 1 })
    expect((await site.manifest(repository, 'v1')).headers.warning).toBeDefined()
    await eventually(async () => expect((await site.manifest(repository, 'v1')).headers.warning).toBeUndefined())
    expect(upstream.requests()).toHaveLength(2)
  })

  it('B27: out of quota on a miss: all who wait are told, and told when to come again', async () => {
    const { upstream, ...site } = ground.site()
    const client = ground.at(site.prefix)
    upstream.fault('*', { status: 429, headers: { 'retry-after': '60' }, delayMs: 100 })
    const all = await Promise.all(Array.from({ length: 5 }, () => client.manifest(repository, 'v1')))
    for (const got of all) {
      expect(told(got)).toEqual(throttled)
      expect(Number(got.headers['retry-after'])).toBeGreaterThan(50)
    }
    expect(upstream.requests()).toHaveLength(1)
  })

  it('B27: out of quota at the token server', async () => {
    const site = ground.site()
    site.upstream.addImage(repository, 'v1', image())
    site.upstream.requireToken()
    site.upstream.fault('token', { status: 429, headers: { 'retry-after': '60' } })
    const got = await site.manifest(repository, 'v1')
    expect(told(got)).toEqual(throttled)
    expect(Number(got.headers['retry-after'])).toBeGreaterThan(50)
    await site.manifest(repository, 'v1')
    expect(site.upstream.requests('GET', 'token')).toHaveLength(1)
  })

  it.each([500, 502, 503, 504])('B28: %i on a miss: at most two retries, then 502', async (status) => {
    const site = ground.site()
    site.upstream.addImage(repository, 'v1', image())
    site.upstream.fault('manifest', { status })
    expect(told(await site.manifest(repository, 'v1'))).toEqual(unavailable)
    expect(site.upstream.requests()).toHaveLength(3)
    site.upstream.heal()
    site.upstream.fault('manifest', { status, times: 2 })
    expect(told(await site.manifest(repository, 'v1'))).toEqual(ok)
  })

  it('B28: 503 on a check: the tag is served stale', async () => {
    const { site, upstream, pushed } = await warm('B28')
    upstream.fault('manifest', { status: 503 })
    expect(await site.manifest(repository, 'v1')).toMatchObject({
      status: 200,
      headers: { 'docker-content-digest': pushed.digest, warning: '299 cistern "stale: upstream unavailable"' },
    })
  })
})

describe.concurrent('tags', () => {
  it('B29: one that is gone upstream: 404, and its digest is served still', async () => {
    const { site, upstream, pushed } = await warm('B29')
    upstream.removeTag(repository, 'v1')
    expect(told(await site.manifest(repository, 'v1'))).toEqual(manifestUnknown)
    expect(told(await site.manifest(repository, pushed.digest))).toEqual(ok)
  })

  it('B29: one that is gone upstream, under a rule that keeps tags', async () => {
    const client = ground.at('keeping.test')
    const { digest } = keeping.addImage(repository, 'v1', image({ seed: 'kept' }))
    expect(told(await client.manifest(repository, 'v1'))).toEqual(ok)
    keeping.removeTag(repository, 'v1')
    expect(await client.manifest(repository, 'v1')).toMatchObject({ headers: { 'docker-content-digest': digest } })
    expect(told(await client.manifest(repository, 'v2'))).toEqual(manifestUnknown)
  })

  it('B30: one that is pushed after it was asked for: unknown for a while, asked for once, then there', async () => {
    const client = ground.at('remembering.test')
    remembering.addBlob(repository, randomBlob(10, 'B30'))
    expect(told(await client.manifest(repository, 'v1'))).toEqual(manifestUnknown)
    remembering.addImage(repository, 'v1', image({ seed: 'B30' }))
    expect(told(await client.manifest(repository, 'v1'))).toEqual(manifestUnknown)
    expect(remembering.requests()).toHaveLength(1)
    await eventually(async () => expect(told(await client.manifest(repository, 'v1'))).toEqual(ok))
  })

  it('B31: one that moves: the new image is served, the old digest still, and no mix of them', async () => {
    const site = ground.site()
    const { upstream } = site
    const [before, after] = ['old', 'new'].map((seed) =>
      index([image({ seed: `B31 ${seed} a` }), image({ seed: `B31 ${seed} b` })]),
    )
    if (!before || !after) throw new Error('two images')
    upstream.addIndex(repository, 'v1', before)
    expect(await tagDigest(site)).toBe(before.digest)
    for (const child of before.manifests) expect(told(await site.manifest(repository, child.digest))).toEqual(ok)
    upstream.addIndex(repository, 'v1', after)
    for (const child of before.manifests) upstream.removeManifest(repository, child.digest)
    upstream.removeManifest(repository, before.digest)

    expect(await tagDigest(site)).toBe(after.digest)

    for (const { digest, bytes } of [before, after, ...before.manifests, ...after.manifests]) {
      expect((await site.manifest(repository, digest)).body.equals(bytes)).toBe(true)
    }
  })

  it('B31: one that moves while its new manifest cannot be had: the old one stays', async () => {
    const { site, upstream, pushed } = await warm('B31 kept')
    upstream.addImage(repository, 'v1', image({ seed: 'B31 unreachable' }))
    upstream.fault('manifest', { method: 'GET', status: 503 })
    expect(await tagDigest(site)).toBe(pushed.digest)
    upstream.fault('manifest', { status: 503 })
    expect(await tagDigest(site)).toBe(pushed.digest)
  })

  it('B32: a HEAD that names no digest: the manifest is fetched and hashed', async () => {
    const { site, upstream, pushed } = await warm('B32')
    upstream.fault('manifest', { headers: { 'docker-content-digest': null } })
    expect(await tagDigest(site)).toBe(pushed.digest)
    const next = upstream.addImage(repository, 'v1', image({ seed: 'B32 next' }))
    expect(await tagDigest(site)).toBe(next.digest)
    const head = await site.manifest(repository, 'v1', { method: 'HEAD' })
    expect(head.headers['docker-content-digest']).toBe(next.digest)
  })

  it('B33: a stated digest that is not that of the bytes: 502, and the tag stays where it was', async () => {
    const { site, upstream, pushed } = await warm('B33')
    const next = upstream.addImage(repository, 'v1', image({ seed: 'B33 next' }))
    const lie = randomBlob(10, 'B33').digest
    upstream.fault('manifest', { headers: { 'docker-content-digest': lie } })
    expect(told(await site.manifest(repository, 'v1'))).toEqual(unavailable)
    expect(told(await site.manifest(repository, next.digest))).toEqual(unavailable)
    expect(await ground.stored()).not.toContain(next.digest)
    upstream.heal()
    await upstream.goDown()
    expect(await tagDigest(site)).toBe(pushed.digest)
  })

  it('B33: a digest that is answered with another manifest: 502, nothing is kept', async () => {
    const { upstream, ...site } = ground.site()
    const client = ground.at(site.prefix)
    const asked = upstream.addImage(repository, undefined, image({ seed: 'B33 asked' }))
    const given = image({ seed: 'B33 given' })
    upstream.fault('manifest', { body: given.bytes, headers: { 'docker-content-digest': null } })
    expect(told(await client.manifest(repository, asked.digest))).toEqual(unavailable)
    expect(await ground.stored()).toEqual(expect.not.arrayContaining([asked.digest]))
    expect(await ground.stored()).toEqual(expect.not.arrayContaining([given.digest]))
  })

  it('B34: a HEAD overtaken by a push: what the bytes hash to counts', async () => {
    const { site, upstream } = await warm('B34')
    const next = upstream.addImage(repository, 'v1', image({ seed: 'B34 next' }))
    upstream.fault('manifest', { method: 'HEAD', headers: { 'docker-content-digest': randomBlob(10, 'B34').digest } })
    const got = await site.manifest(repository, 'v1')
    expect(got).toMatchObject({ status: 200, headers: { 'docker-content-digest': next.digest } })
    expect(got.body.equals(next.bytes)).toBe(true)
  })
})

describe.concurrent('children of an index that is cached', () => {
  it('B40: upstream has them, has lost them, or is gone: the index is what it was', async () => {
    const site = ground.site()
    const { upstream } = site
    const multi = upstream.addIndex(repository, 'v1', index([1, 2, 3].map((seed) => image({ seed: `B40 ${seed}` }))))
    const [there, lost, late] = multi.manifests.map(({ digest }) => digest)
    if (!there || !lost || !late) throw new Error('three children')
    expect(await tagDigest(site)).toBe(multi.digest)
    upstream.removeManifest(repository, lost)

    expect(told(await site.manifest(repository, there))).toEqual(ok)
    expect(told(await site.manifest(repository, lost))).toEqual(manifestUnknown)
    await upstream.goDown()
    expect(told(await site.manifest(repository, late))).toEqual(unavailable)
    expect(told(await site.manifest(repository, there))).toEqual(ok)
    expect((await site.manifest(repository, 'v1')).body.equals(multi.bytes)).toBe(true)
    expect((await site.manifest(repository, multi.digest)).body.equals(multi.bytes)).toBe(true)
  })
})
