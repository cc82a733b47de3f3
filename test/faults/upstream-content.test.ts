import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  blobOf,
  dockerManifest,
  type FaultyUpstream,
  image,
  index,
  manifestOf,
  ociIndex,
  ociManifest,
  randomBlob,
  startUpstream,
} from '../support/faulty-upstream.ts'
import { Canary } from './canary.ts'
import { told } from './client.ts'
import { Ground, ruleTo } from './ground.ts'

const MiB = 1024 * 1024
const repository = 'team/app'
const unavailable = { status: 502, code: 'UNAVAILABLE' }
const ok = { status: 200, code: undefined }
const digestOfNothing = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

const resources = new AsyncDisposableStack()
let ground: Ground
let paged: FaultyUpstream
let old: FaultyUpstream

beforeAll(async () => {
  paged = resources.use(await startUpstream({ pageSize: 2 }))
  old = resources.use(await startUpstream({ referrers: false }))
  const rules = [ruleTo('paged.test', paged.url), ruleTo('old.test', old.url)]
  ground = resources.use(await Ground.start({ sites: 40, rules }))
})

afterAll(() => resources.disposeAsync())

describe.concurrent('the type of a manifest', () => {
  it.each([
    ['missing', null],
    ['with a charset', `${ociManifest}; charset=utf-8`],
    ['that says nothing', 'application/octet-stream'],
    ['of any JSON', 'application/json'],
  ])('B35: %s: is found in the manifest', async (_, type) => {
    const { upstream, ...site } = ground.site()
    const client = ground.at(site.prefix)
    upstream.addImage(repository, 'v1', image())
    upstream.fault('manifest', { headers: { 'content-type': type } })
    for (const method of ['HEAD', 'GET', 'GET']) {
      const got = await client.manifest(repository, 'v1', { method })
      expect(got).toMatchObject({ status: 200, headers: { 'content-type': ociManifest } })
    }
  })

  it('B35: missing in header and manifest: is told by the shape', async () => {
    const { upstream, ...site } = ground.site()
    upstream.addManifest(repository, 'v1', manifestOf({ schemaVersion: 2, manifests: [] }))
    upstream.fault('manifest', { headers: { 'content-type': null } })
    const got = await ground.at(site.prefix).manifest(repository, 'v1')
    expect(got).toMatchObject({ status: 200, headers: { 'content-type': ociIndex } })
  })

  it.each([
    ['another than the manifest says', { ...image({ seed: 'B36' }), mediaType: dockerManifest }],
    ['of an index and an image at once', manifestOf({ schemaVersion: 2, manifests: [], layers: [] }, ociIndex)],
    ['of an image in an index', manifestOf({ schemaVersion: 2, manifests: [], config: {} }, ociManifest)],
    ['of an image over an index', manifestOf({ schemaVersion: 2, manifests: [1] }, ociManifest)],
  ])('B36: %s: 502, and it is not kept', async (_, confused) => {
    const site = ground.site()
    site.upstream.addManifest(repository, 'v1', confused)
    expect(told(await site.manifest(repository, 'v1'))).toEqual(unavailable)
    expect(told(await site.manifest(repository, confused.digest))).toEqual(unavailable)
    expect(await ground.stored()).not.toContain(confused.digest)
  })

  it('B36: another in a second repository than the one it was stored with: 502 there', async () => {
    const [first, second] = [ground.site(), ground.site()]
    const confused = manifestOf({ schemaVersion: 2, manifests: [], annotations: { B36: 'twice' } }, ociIndex)
    first.upstream.addManifest(repository, 'v1', confused)
    second.upstream.addManifest(repository, 'v1', { ...confused, mediaType: ociManifest })
    expect(told(await first.manifest(repository, confused.digest))).toEqual(ok)
    expect(told(await second.manifest(repository, confused.digest))).toEqual(unavailable)
    expect(told(await second.manifest(repository, 'v1'))).toEqual(unavailable)
    const again = await first.manifest(repository, confused.digest)
    expect(again).toMatchObject({ status: 200, headers: { 'content-type': ociIndex } })
  })

  it.each([
    [
      'a chart',
      manifestOf({ schemaVersion: 2, config: { mediaType: 'application/vnd.cncf.helm.config.v1+json' }, layers: [] }),
    ],
    [
      'a signature',
      manifestOf({ artifactType: 'application/vnd.dev.sigstore.bundle.v0.3+json', config: {}, layers: [] }),
    ],
    ['an artifact of a type of its own', manifestOf({ anything: [1, 2.0] }, 'application/vnd.example.thing.v7+json')],
    [
      'an image of schema 1',
      manifestOf(
        { schemaVersion: 1, fsLayers: [], history: [], signatures: [] },
        'application/vnd.docker.distribution.manifest.v1+prettyjws',
      ),
    ],
  ])('B41: %s: passes byte for byte, with its type', async (_, artifact) => {
    const { upstream, ...site } = ground.site()
    const client = ground.at(site.prefix)
    upstream.addManifest(repository, 'v1', artifact)
    for (const reference of ['v1', artifact.digest]) {
      const got = await client.manifest(repository, reference, { headers: { accept: 'application/json' } })
      expect(got).toMatchObject({ status: 200, headers: { 'content-type': artifact.mediaType } })
      expect(got.body.equals(artifact.bytes)).toBe(true)
    }
  })
})

describe('manifests that strain', () => {
  it('B37: one of 9 MiB: 502, and it is not read to its end', async () => {
    const site = ground.site()
    const { upstream } = site
    upstream.addManifest(repository, 'v1', manifestOf({ schemaVersion: 2, layers: [], padding: 'x'.repeat(9 * MiB) }))
    expect(told(await site.manifest(repository, 'v1'))).toEqual(unavailable)
  })

  it('B37: one without end: 502 in time, and memory does not grow with it', async () => {
    const site = ground.site()
    const { upstream } = site
    upstream.addImage(repository, 'v1', image())
    upstream.fault('manifest', { body: Buffer.alloc(64 * MiB, '['), framing: 'chunked' })
    expect(told(await site.manifest(repository, 'v1'))).toEqual(unavailable)
    expect(upstream.requests()[0]?.sent).toBeLessThan(32 * MiB)
  })

  it('B37: one of 3.9 MB passes', async () => {
    const site = ground.site()
    const large = manifestOf({ schemaVersion: 2, config: {}, layers: [], padding: 'x'.repeat(3_900_000) })
    site.upstream.addManifest(repository, 'v1', large)
    expect((await site.manifest(repository, 'v1')).body.equals(large.bytes)).toBe(true)
  })

  it.each([
    ['keys twice', '{"schemaVersion":2,"config":{},"config":{"a":1},"layers":[]}', ok],
    ['__proto__', '{"__proto__":{"layers":[]},"constructor":{"prototype":{}},"config":{},"layers":[]}', ok],
    ['brackets ten thousand deep', `{"config":{},"layers":${'['.repeat(10_000)}${']'.repeat(10_000)}}`, undefined],
    ['bytes that are no UTF-8', Buffer.from('7b22636f6e666967223a22ff22 7d'.replace(' ', ''), 'hex'), unavailable],
    ['a list', '[]', unavailable],
    ['half of it', '{"config":{}', unavailable],
    ['nothing', '', unavailable],
  ])('B38: %s: as it is or not at all', async (_, content, expected) => {
    const { upstream, ...site } = ground.site()
    const client = ground.at(site.prefix)
    const { digest, bytes } = blobOf(content)
    upstream.addManifest(repository, 'v1', { ...manifestOf('{}'), digest, bytes: bytes() })

    const got = await client.manifest(repository, 'v1')

    if (expected) expect(told(got)).toEqual(expected)
    if (got.status === 200) expect(got.body.equals(bytes())).toBe(true)
    else expect(told(got)).toEqual(unavailable)
    expect((await ground.get('/v2/')).status).toBe(200)
  })

  it('B39: an index of ten thousand children: nobody asks for them', async () => {
    const site = ground.site()
    const child = image({ seed: 'B39' })
    const wide = index(Array.from({ length: 10_000 }, () => child))
    site.upstream.addManifest(repository, 'v1', wide)
    expect((await site.manifest(repository, 'v1')).body.equals(wide.bytes)).toBe(true)
    expect(site.upstream.requests().map(({ method }) => method)).toEqual(['GET'])
  })
})

describe.concurrent('blobs of every kind', () => {
  it('B42: digests of sha512, and of what nobody knows', async () => {
    const site = ground.site()
    const blob = site.upstream.addBlob(repository, blobOf('wide', 'sha512'))
    const manifest = site.upstream.addManifest(
      repository,
      'v1',
      manifestOf({ config: {}, layers: [] }, ociManifest, 'sha512'),
    )
    expect((await site.blob(repository, blob.digest)).body.toString()).toBe('wide')
    expect((await site.manifest(repository, manifest.digest)).body.equals(manifest.bytes)).toBe(true)
    site.upstream.forget()
    expect((await site.blob(repository, blob.digest)).body.toString()).toBe('wide')
    for (const noun of ['blobs', 'manifests']) {
      const got = await site.get(`${repository}/${noun}/md5:${'0'.repeat(32)}`)
      expect(told(got)).toEqual({ status: 400, code: 'DIGEST_INVALID' })
    }
    expect(site.upstream.requests()).toEqual([])
  })

  it('B43: the empty one', async () => {
    const site = ground.site()
    site.upstream.addBlob(repository, blobOf(''))
    for (let pull = 0; pull < 2; pull++) {
      const got = await site.blob(repository, digestOfNothing)
      expect(got).toMatchObject({ status: 200, complete: true, headers: { 'content-length': '0' } })
    }
    expect(site.upstream.requests()).toHaveLength(1)
  })

  it('B46: one that its manifest says is elsewhere: 404, and nobody goes there', async () => {
    await using canary = await Canary.start()
    const site = ground.site()
    const { digest } = randomBlob(100, 'B46')
    const layer = { mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar', digest, size: 100 }
    const urls = [`http://127.0.0.1:${canary.port}/layer`]
    const foreign = manifestOf({ schemaVersion: 2, mediaType: ociManifest, config: {}, layers: [{ ...layer, urls }] })
    site.upstream.addManifest(repository, 'v1', foreign)
    expect((await site.manifest(repository, 'v1')).body.equals(foreign.bytes)).toBe(true)
    expect(told(await site.blob(repository, digest))).toEqual({ status: 404, code: 'BLOB_UNKNOWN' })
    expect(canary.connections).toBe(0)
  })
})

describe.concurrent('lists', () => {
  it('B44: referrers: all pages, filtered where asked, cached where upstream is gone', async () => {
    const client = ground.at('paged.test')
    const subject = paged.addImage(repository, 'signed', image({ seed: 'B44' }))
    const artifactType = 'application/vnd.example.sbom'
    for (const seed of [1, 2, 3, 4, 5]) {
      const own = seed === 5 ? artifactType : 'application/vnd.example.signature'
      paged.addImage(repository, undefined, image({ seed, subject: subject.descriptor, artifactType: own }))
    }
    const path = `${repository}/referrers/${subject.digest}`
    const all = await client.get(path)
    expect(all).toMatchObject({ status: 200, headers: { 'content-type': ociIndex } })
    expect(JSON.parse(all.body.toString()).manifests).toHaveLength(5)
    const sboms = await client.get(`${path}?artifactType=${artifactType}`)
    expect(sboms.headers['oci-filters-applied']).toBe('artifactType')
    expect(JSON.parse(sboms.body.toString()).manifests).toMatchObject([{ artifactType }])
  })

  it('B44: no referrers API upstream: 404 as well, so that clients look for the tag', async () => {
    const subject = old.addImage(repository, 'signed', image({ seed: 'B44 old' }))
    expect((await ground.at('old.test').get(`${repository}/referrers/${subject.digest}`)).status).toBe(404)
  })

  it('B45: tags: none, too many, and no number of them; links lead to us', async () => {
    const client = ground.at('paged.test')
    for (const tag of ['a', 'b', 'c', 'd', 'e']) paged.addImage('team/tags', tag, image())
    const list = (query: string) => client.get(`team/tags/tags/list${query}`)
    expect(JSON.parse((await list('?n=0')).body.toString())).toMatchObject({ tags: [] })
    expect(JSON.parse((await list('?n=10000000')).body.toString())).toMatchObject({ tags: ['a', 'b', 'c', 'd', 'e'] })
    for (const n of ['-1', 'x', '1.5'])
      expect(told(await list(`?n=${n}`))).toEqual({ status: 400, code: 'UNSUPPORTED' })
    const first = await list('?n=2')
    expect(JSON.parse(first.body.toString())).toMatchObject({ tags: ['a', 'b'] })
    expect(first.headers.link).toMatch(/^<\/v2\/paged\.test\/team\/tags\/tags\/list\?n=2&last=b>; rel="next"$/)
    const next = await ground.get(/<(.*)>/.exec(String(first.headers.link))?.[1] ?? '')
    expect(JSON.parse(next.body.toString())).toMatchObject({ tags: ['c', 'd'] })
  })

  it('B45: tags: null is none', async () => {
    const site = ground.site()
    site.upstream.addBlob(repository, randomBlob(10, 'B45'))
    site.upstream.fault('tags', { body: `{"name":"${repository}","tags":null}` })
    expect(JSON.parse((await site.get(`${repository}/tags/list`)).body.toString())).toMatchObject({ tags: [] })
  })
})
