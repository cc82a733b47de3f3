import { describe, expect, it } from 'vitest'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { referrersTag } from '../../src/oci/reference.ts'
import { bytesOf, digestOfBody, upstreamTo } from '../support/faulty-rule.ts'
import {
  blobOf,
  dockerManifest,
  image,
  index,
  manifestOf,
  ociIndex,
  randomBlob,
  startUpstream,
} from '../support/faulty-upstream.ts'

const repository = 'library/nginx'

describe('manifests', () => {
  it('resolves a tag by one HEAD with our full Accept list', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    const nginx = remote.addImage(repository, 'latest', image())
    expect(await upstream.resolve({ repository, tag: 'latest' })).toEqual({ descriptor: nginx.descriptor })
    expect(remote.requests()).toHaveLength(1)
    const [request] = remote.requests('HEAD', 'manifest')
    expect(request?.headers.accept).toContain(`${mediaTypes.ociIndex}, ${mediaTypes.ociManifest}`)
    expect(request?.headers.accept).toMatch(/, \*\/\*$/)
    expect(request?.headers['accept-encoding']).toBe('identity')
    expect(request?.headers['user-agent']).toMatch(/^cistern/)
  })

  it('fetches manifests byte for byte, by tag and by digest, of every kind', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    const kinds = [
      image(),
      image({ mediaType: dockerManifest }),
      index([image({ seed: 1 }), image({ seed: 2 })]),
      manifestOf({ anything: [1] }, 'application/vnd.example.artifact.v1+json'),
      manifestOf({ schemaVersion: 1, fsLayers: [], history: [], signatures: [] }, mediaTypes.dockerSchema1Signed),
      manifestOf({ schemaVersion: 2, config: {}, layers: [], pad: 'x'.repeat(3_900_000) }),
    ]
    for (const [position, kind] of kinds.entries()) {
      remote.addManifest(repository, `v${position}`, kind)
      const byTag = await upstream.manifest({ repository, tag: `v${position}` })
      const byDigest = await upstream.manifest({ repository, digest: kind.digest })
      for (const { descriptor, bytes } of [byTag, byDigest]) {
        expect(descriptor).toEqual(kind.descriptor)
        expect(kind.bytes.equals(bytes)).toBe(true)
      }
    }
  })

  it('B42: a manifest with a sha512 digest', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    const wide = remote.addManifest(repository, 'wide', manifestOf({ config: {}, layers: [] }, undefined, 'sha512'))
    expect((await upstream.manifest({ repository, tag: 'wide' })).descriptor).toEqual(wide.descriptor)
    expect((await upstream.manifest({ repository, digest: wide.digest })).descriptor).toEqual(wide.descriptor)
  })

  it('B32: HEAD without a digest: computed from a GET, whose bytes come along', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    const nginx = remote.addImage(repository, 'latest', image())
    remote.fault('manifest', { headers: { 'docker-content-digest': null } })
    const { descriptor, bytes } = await upstream.resolve({ repository, tag: 'latest' })
    expect(descriptor).toEqual(nginx.descriptor)
    expect(bytes).toEqual(nginx.bytes)
    expect(await upstream.resolve({ repository, digest: nginx.digest })).toEqual({ descriptor: nginx.descriptor })
  })

  it('a HEAD that is not allowed is repeated as GET', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    const nginx = remote.addImage(repository, 'latest', image())
    remote.fault('manifest', { method: 'HEAD', status: 405 })
    expect((await upstream.resolve({ repository, tag: 'latest' })).descriptor).toEqual(nginx.descriptor)
  })

  it('B33: a digest header or a body that belongs to another manifest is corrupt', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    const nginx = remote.addImage(repository, 'latest', image())
    const other = image({ seed: 'other' })
    remote.fault('manifest', { times: 3, headers: { 'docker-content-digest': other.digest } })
    await expect(upstream.manifest({ repository, digest: nginx.digest })).rejects.toMatchObject({ kind: 'corrupt' })
    await expect(upstream.manifest({ repository, tag: 'latest' })).rejects.toMatchObject({ kind: 'corrupt' })
    await expect(upstream.resolve({ repository, digest: nginx.digest })).rejects.toMatchObject({ kind: 'corrupt' })
    remote.fault('manifest', { times: 1, body: other.bytes, headers: { 'docker-content-digest': null } })
    await expect(upstream.manifest({ repository, digest: nginx.digest })).rejects.toMatchObject({ kind: 'corrupt' })
    expect((await upstream.manifest({ repository, tag: 'latest' })).descriptor).toEqual(nginx.descriptor)
  })

  it('A19: a web page in place of a manifest is corrupt', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    remote.addImage(repository, 'latest', image())
    remote.fault('manifest', {
      body: '<html>log in</html>',
      headers: { 'content-type': 'text/html', 'docker-content-digest': null },
    })
    await expect(upstream.resolve({ repository, tag: 'latest' })).rejects.toMatchObject({ kind: 'corrupt' })
    await expect(upstream.manifest({ repository, tag: 'latest' })).rejects.toMatchObject({ kind: 'corrupt' })
  })

  it('B37: a manifest beyond 8 MiB is given up, declared or not', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    const digest = randomBlob(1).digest
    const huge = randomBlob(64 * 1024 * 1024, 'huge')
    const content = { ...manifestOf('{}'), digest, bytes: Buffer.alloc(0) }
    remote.addManifest(repository, 'huge', { ...content, bytes: Object.assign(huge.bytes(), {}) })
    await expect(upstream.manifest({ repository, tag: 'huge' })).rejects.toMatchObject({ kind: 'corrupt' })
    remote.fault('manifest', { framing: 'chunked' })
    await expect(upstream.manifest({ repository, tag: 'huge' })).rejects.toMatchObject({ kind: 'corrupt' })
    for (const seen of remote.requests('GET', 'manifest')) expect(seen.sent).toBeLessThan(32 * 1024 * 1024)
    remote.heal()
    remote.fault('manifest', { stallAfter: 0 })
    await expect(upstream.manifest({ repository, tag: 'huge' })).rejects.toMatchObject({ kind: 'corrupt' })
  })

  it('says unknown for what upstream does not know', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    remote.addImage(repository, 'latest', image())
    const digest = randomBlob(3).digest
    const unknown = (code: string) => ({ kind: 'unknown', code })
    await expect(upstream.resolve({ repository, tag: 'no' })).rejects.toMatchObject(unknown('MANIFEST_UNKNOWN'))
    await expect(upstream.manifest({ repository, digest })).rejects.toMatchObject(unknown('MANIFEST_UNKNOWN'))
    await expect(upstream.stat(repository, digest)).rejects.toMatchObject(unknown('BLOB_UNKNOWN'))
    await expect(upstream.blob(repository, digest)).rejects.toMatchObject(unknown('BLOB_UNKNOWN'))
    await expect(upstream.tags('library/none')).rejects.toMatchObject(unknown('NAME_UNKNOWN'))
  })
})

describe('blobs', () => {
  it('streams a blob and its parts', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    const blob = remote.addBlob(repository, randomBlob(300_000))
    const size = blob.size
    const whole = await upstream.blob(repository, blob.digest)
    expect(whole.descriptor).toEqual({ mediaType: 'application/octet-stream', digest: blob.digest, size })
    expect(await digestOfBody(whole.body)).toBe(blob.digest)
    const parts = [
      { asked: { start: 5, end: 9 }, range: { start: 5, end: 9 } },
      { asked: { start: 100 }, range: { start: 100, end: size - 1 } },
      { asked: { suffix: 7 }, range: { start: size - 7, end: size - 1 } },
      { asked: { start: 10, end: 9_999_999 }, range: { start: 10, end: size - 1 } },
    ]
    for (const ignoreRange of [false, true]) {
      remote.fault('blob', { ignoreRange })
      for (const { asked, range } of parts) {
        const part = await upstream.blob(repository, blob.digest, { range: asked })
        expect(part.range).toEqual(range)
        expect(part.descriptor.size).toBe(size)
        expect(await bytesOf(part.body)).toEqual(blob.slice(range.start, range.end + 1))
      }
      const outside = upstream.blob(repository, blob.digest, { range: { start: size } })
      await expect(outside).rejects.toMatchObject({ kind: 'range', size })
    }
  })

  it.each(['bytes 1-100/300', 'bytes 0-99/50', 'bytes 0-99/*', 'bytes 0-50/300', 'nonsense', null])(
    'A13: a part said to be %s is corrupt',
    async (contentRange) => {
      await using remote = await startUpstream()
      await using upstream = upstreamTo(remote.url)
      const blob = remote.addBlob(repository, randomBlob(300))
      remote.fault('blob', { contentRange })
      const part = upstream.blob(repository, blob.digest, { range: { start: 0, end: 99 } })
      await expect(part).rejects.toMatchObject({ kind: 'corrupt' })
    },
  )

  it('the signal of the pull has no say once the headers are there', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    const blob = remote.addBlob(repository, randomBlob(10_000_000))
    const leaving = new AbortController()
    const { body } = await upstream.blob(repository, blob.digest, { signal: leaving.signal })
    leaving.abort()
    expect(await digestOfBody(body)).toBe(blob.digest)
    expect(remote.requests()).toHaveLength(1)
  })

  it('B43: the empty blob', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    const empty = remote.addBlob(repository, blobOf(''))
    expect((await upstream.stat(repository, empty.digest)).size).toBe(0)
    expect(await bytesOf((await upstream.blob(repository, empty.digest)).body)).toHaveLength(0)
  })

  it('stats by HEAD alone, and by one byte where HEAD is refused', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    const blob = remote.addBlob(repository, randomBlob(5000))
    expect((await upstream.stat(repository, blob.digest)).size).toBe(5000)
    expect(remote.requests('GET')).toHaveLength(0)
    remote.fault('blob', { method: 'HEAD', status: 405 })
    expect((await upstream.stat(repository, blob.digest)).size).toBe(5000)
    expect(remote.requests('GET', 'blob')[0]?.sent).toBe(1)
  })

  it('learns the size by HEAD where the GET declares none, and refuses a blob of no known size', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    const blob = remote.addBlob(repository, randomBlob(5000))
    remote.fault('blob', { method: 'GET', framing: 'chunked' })
    const { descriptor, body } = await upstream.blob(repository, blob.digest)
    expect(descriptor.size).toBe(5000)
    expect(await digestOfBody(body)).toBe(blob.digest)
    remote.fault('blob', { headers: { 'content-length': null } })
    await expect(upstream.blob(repository, blob.digest)).rejects.toMatchObject({ kind: 'corrupt' })
  })

  it('holds upstream back when nobody takes the bytes', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    const blob = remote.addBlob(repository, randomBlob(64 * 1024 * 1024))
    const { body } = await upstream.blob(repository, blob.digest)
    const taken = Promise.withResolvers<void>()
    const enough = Promise.withResolvers<void>()
    const sent = body.sendTo({
      write: () => {
        taken.resolve()
        return enough.promise
      },
    })
    await taken.promise
    let before = -1
    const [seen] = remote.requests('GET', 'blob')
    while (seen && seen.sent !== before) {
      before = seen.sent
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    expect(before).toBeLessThan(32 * 1024 * 1024)
    enough.resolve()
    await sent
    expect(seen?.sent).toBe(blob.size)
  })
})

describe('lists', () => {
  it('gathers all pages of tags, sorts them, and pages them as asked', async () => {
    await using remote = await startUpstream({ pageSize: 2 })
    await using upstream = upstreamTo(remote.url)
    for (const tag of ['v2', 'v10', 'latest', 'v1', 'A']) remote.addImage(repository, tag, image())
    const all = ['A', 'latest', 'v1', 'v10', 'v2']
    expect(await upstream.tags(repository)).toEqual({ tags: all, more: false })
    expect(remote.requests('GET', 'tags')).toHaveLength(3)
    expect(await upstream.tags(repository, { n: 2, last: 'latest' })).toEqual({ tags: ['v1', 'v10'], more: true })
    expect(await upstream.tags(repository, { n: 9, last: 'v1' })).toEqual({ tags: ['v10', 'v2'], more: false })
    expect(await upstream.tags(repository, { n: 0 })).toEqual({ tags: [], more: false })
  })

  it.each([
    ['null', '{"name":"x","tags":null}', []],
    ['what cannot be a tag', '{"tags":["ok","../etc",7,null,"a b"]}', ['ok']],
    ['no list at all', '{}', []],
  ])('B45: tags of %s', async (_, body, tags) => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    remote.addImage(repository, 'x', image())
    remote.fault('tags', { body })
    expect(await upstream.tags(repository)).toEqual({ tags, more: false })
  })

  it('B45: pages on another origin are not followed, and a list that never ends is corrupt', async () => {
    await using remote = await startUpstream()
    await using elsewhere = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    remote.addImage(repository, 'x', image())
    remote.fault('tags', { times: 1, headers: { link: `<${elsewhere.url}/v2/x/tags/list>; rel="next"` } })
    expect((await upstream.tags(repository)).tags).toEqual(['x'])
    expect(elsewhere.requests()).toHaveLength(0)
    remote.fault('tags', { headers: { link: `</v2/${repository}/tags/list?n=1000>; rel="next"` } })
    await expect(upstream.tags(repository)).rejects.toMatchObject({ kind: 'corrupt' })
  })

  it('lists referrers over all pages, and drops entries that are no descriptors', async () => {
    await using remote = await startUpstream({ pageSize: 1 })
    await using upstream = upstreamTo(remote.url)
    const { descriptor: subject } = remote.addImage(repository, 'latest', image())
    const annotations = { made: 'here' }
    const first = remote.addImage(
      repository,
      undefined,
      image({ seed: 1, subject, artifactType: 'x/sig', annotations }),
    )
    const second = remote.addImage(repository, undefined, image({ seed: 2, subject }))
    const { referrers } = await upstream.referrers(repository, subject.digest)
    expect(referrers).toEqual([{ ...first.descriptor, artifactType: 'x/sig', annotations }, second.descriptor])
    const bad = [{}, null, { ...first.descriptor, digest: 'sha256:../x' }, { ...first.descriptor, size: -1 }]
    remote.fault('referrers', {
      body: JSON.stringify({ manifests: [...bad, second.descriptor] }),
      headers: { link: null },
    })
    expect((await upstream.referrers(repository, subject.digest)).referrers).toEqual([second.descriptor])
  })

  it('B44: without the referrers API the tag that stands in for it counts, and without both nothing is known', async () => {
    await using remote = await startUpstream({ referrers: false })
    await using upstream = upstreamTo(remote.url)
    const { descriptor } = remote.addImage(repository, 'latest', image())
    await expect(upstream.referrers(repository, descriptor.digest)).rejects.toMatchObject({ kind: 'unknown' })
    const signature = image({ seed: 'signature' })
    remote.addManifest(
      repository,
      referrersTag(descriptor.digest),
      manifestOf({ manifests: [signature.descriptor] }, ociIndex),
    )
    expect((await upstream.referrers(repository, descriptor.digest)).referrers).toEqual([signature.descriptor])
  })

  it('B44: an empty list of the API is an answer', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    const { descriptor } = remote.addImage(repository, 'latest', image())
    expect(await upstream.referrers(repository, descriptor.digest)).toEqual({ referrers: [] })
  })
})
