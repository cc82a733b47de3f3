import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Blob, blobOf, type FaultyUpstream, image, randomBlob, startUpstream } from '../support/faulty-upstream.ts'
import { digestOfBytes, type Got, take, told } from './client.ts'
import { Ground, ruleTo, shortPatience } from './ground.ts'

const MiB = 1024 * 1024
const repository = 'team/app'
const unavailable = { status: 502, code: 'UNAVAILABLE' }

const resources = new AsyncDisposableStack()
let ground: Ground
let signing: FaultyUpstream
let cdn: FaultyUpstream

beforeAll(async () => {
  signing = resources.use(await startUpstream())
  cdn = resources.use(await startUpstream())
  const rules = [ruleTo('signing.test', signing.url, { redirectHosts: [cdn.url] })]
  ground = resources.use(await Ground.start({ sites: 24, rules, timeouts: shortPatience }))
})

afterAll(() => resources.disposeAsync())

/** An upstream with one blob of its own. */
function siteWith(size: number, seed: string) {
  const site = ground.site()
  return { site, upstream: site.upstream, blob: site.upstream.addBlob(repository, randomBlob(size, seed)) }
}

const expectWhole = (got: Got, blob: Blob) =>
  expect({ ...told(got), complete: got.complete, digest: digestOfBytes(got.body) }).toEqual({
    status: 200,
    code: undefined,
    complete: true,
    digest: blob.digest,
  })

/** The headers promised it all, and the connection ended before that. */
function expectBroken(got: Got, blob: Blob) {
  expect(got).toMatchObject({ status: 200, complete: false, headers: { 'content-length': String(blob.size) } })
  expect(got.body.length).toBeLessThan(blob.size)
}

const starts = (upstream: FaultyUpstream) =>
  upstream.requests('GET', 'blob').map(({ headers }) => headers.range ?? 'whole')

describe.concurrent('a transfer that breaks', () => {
  it.each([
    ['A6: it stalls', { stallAfter: 2 * MiB }],
    ['A7: it is reset', { resetAfter: 2 * MiB }],
    ['A7: it is reset and chunked', { resetAfter: 2 * MiB, framing: 'chunked' }],
    ['A8: it is reset and close-delimited', { resetAfter: 2 * MiB, framing: 'close' }],
    ['A6: it ends early', { endAfter: 2 * MiB }],
    ['A17: it drips', { dripBytes: 1, dripMs: 50 }],
  ] as const)('%s: it is resumed unseen by all who follow', async (name, fault) => {
    const { site, upstream, blob } = siteWith(4 * MiB, name)
    upstream.fault('blob', { ...fault, method: 'GET', times: 1 })

    const all = await Promise.all(Array.from({ length: 5 }, () => site.blob(repository, blob.digest)))

    for (const got of all) expectWhole(got, blob)
    expect(starts(upstream)).toEqual(['whole', expect.stringMatching(/^bytes=\d+-4194303$/)])
    await ground.keeps(blob.digest)
  })

  it('A6: it breaks again and again: so does the connection, after a bounded number of attempts', async () => {
    const { site, upstream, blob } = siteWith(3 * MiB, 'A6 again')
    upstream.fault('blob', { endAfter: 2 * MiB, times: 1 })
    upstream.fault('blob', { endAfter: 0, after: 1 })

    expectBroken(await site.blob(repository, blob.digest), blob)

    expect(upstream.requests('GET', 'blob').length).toBeLessThan(12)
    expect(await ground.stored()).not.toContain(blob.digest)
    upstream.heal()
    expectWhole(await site.blob(repository, blob.digest), blob)
  })

  it('A7: it is reset and upstream wants no more: all who follow see it, and the next pull goes on', async () => {
    const { site, upstream, blob } = siteWith(3 * MiB, 'A7')
    const { promise: received, resolve: reset } = Promise.withResolvers<void>()
    upstream.fault('blob', { pauseAfter: 2 * MiB, resume: received, resetAfter: 2 * MiB + 1, times: 1 })
    upstream.fault('blob', { status: 429, headers: { 'retry-after': '0' }, after: 1 })
    const followers = Array.from({ length: 4 }, () => site.blob(repository, blob.digest))
    const leader = await site.openBlob(repository, blob.digest)
    await take(leader, 2 * MiB - 1)
    reset()

    for (const got of await Promise.all(followers)) expectBroken(got, blob)
    expect(await ground.stored()).not.toContain(blob.digest)
    upstream.heal()
    upstream.forget()
    expectWhole(await site.blob(repository, blob.digest), blob)
    expect(starts(upstream)).toEqual(['bytes=2097152-'])
  })

  it('A8: a manifest that is close-delimited and cut: 502, nothing is kept', async () => {
    const { upstream, ...site } = ground.site()
    const client = ground.at(site.prefix)
    const { digest } = upstream.addImage(repository, 'v1', image({ seed: 'A8' }))
    upstream.fault('manifest', { framing: 'close', resetAfter: 100, headers: { 'docker-content-digest': null } })
    for (const reference of ['v1', digest])
      expect(told(await client.manifest(repository, reference))).toEqual(unavailable)
    expect(await ground.stored()).not.toContain(digest)
    upstream.heal()
    expect(await client.manifest(repository, 'v1')).toMatchObject({ status: 200, complete: true })
  })

  it('A12: a resume that is answered with the whole: no byte comes twice', async () => {
    const { site, upstream, blob } = siteWith(3 * MiB, 'A12')
    upstream.fault('blob', { resetAfter: 2 * MiB, times: 1 })
    upstream.fault('blob', { ignoreRange: true })
    expectWhole(await site.blob(repository, blob.digest), blob)
  })

  it.each([
    ['names another range', 'bytes 0-1048575/3145728'],
    ['names no range', null],
    ['names another total', 'bytes 2097152-3145727/4145728'],
  ])('A13: a 206 that %s: the connection breaks, and the next pull starts afresh', async (name, contentRange) => {
    const { site, upstream, blob } = siteWith(3 * MiB, `A13 ${name}`)
    upstream.fault('blob', { resetAfter: 2 * MiB, times: 1 })
    upstream.fault('blob', { contentRange })

    expectBroken(await site.blob(repository, blob.digest), blob)

    expect(await ground.stored()).not.toContain(blob.digest)
    upstream.forget()
    expectWhole(await site.blob(repository, blob.digest), blob)
    expect(starts(upstream)).toEqual(['whole'])
  })

  it('A24: a signed URL is used up when it breaks: the registry is asked for another one', async () => {
    signing.signBlobUrls(cdn, 1)
    const blob = signing.addBlob(repository, randomBlob(3 * MiB, 'A24'))
    cdn.fault('signed', { resetAfter: 2 * MiB, times: 1 })

    expectWhole(await ground.at('signing.test').blob(repository, blob.digest), blob)

    expect(signing.requests('GET', 'blob')).toHaveLength(2)
    expect(cdn.requests('GET', 'signed').map(({ status }) => status)).toEqual([200, 206])
  })
})

describe.concurrent('a transfer that lies', () => {
  it('A9: right length, wrong bytes: the connection breaks and nothing is stored', async () => {
    const { site, upstream, blob } = siteWith(3 * MiB, 'A9')
    upstream.fault('blob', { corruptAt: 5, times: 1 })
    const all = await Promise.all(Array.from({ length: 3 }, () => site.blob(repository, blob.digest)))
    for (const got of all) expectBroken(got, blob)
    expect(await ground.stored()).not.toContain(blob.digest)
    expectWhole(await site.blob(repository, blob.digest), blob)
    expect(await ground.metrics()).toMatch(/^cistern_digest_mismatch_total [1-9]/m)
  })

  it('A9: right length, wrong last byte', async () => {
    const { site, upstream, blob } = siteWith(3 * MiB, 'A9 last')
    upstream.fault('blob', { corruptAt: blob.size - 1, times: 1 })
    expectBroken(await site.blob(repository, blob.digest), blob)
    expect(await ground.stored()).not.toContain(blob.digest)
  })

  it('A9: wrong bytes of a small blob: 502 before any byte', async () => {
    const { site, upstream, blob } = siteWith(1000, 'A9 small')
    upstream.fault('blob', { corruptAt: 5, times: 1 })
    expect(told(await site.blob(repository, blob.digest))).toEqual(unavailable)
    expect(await ground.stored()).not.toContain(blob.digest)
    expectWhole(await site.blob(repository, blob.digest), blob)
  })

  it('A10: more bytes than declared: none of them is passed on, and the next answer is right', async () => {
    const { site, upstream, blob } = siteWith(3 * MiB, 'A10')
    const other = upstream.addBlob(repository, randomBlob(1000, 'A10 other'))
    upstream.fault('blob', { surplus: 5000, times: 1 })
    expectWhole(await site.blob(repository, blob.digest), blob)
    expectWhole(await site.blob(repository, other.digest), other)
    await ground.keeps(blob.digest)
  })

  it('A14: a second answer that nobody asked for: the next request gets its own', async () => {
    const { site, upstream, blob } = siteWith(1000, 'A14')
    const { bytes, digest } = upstream.addImage(repository, 'v1', image({ seed: 'A14' }))
    const unsolicited = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":1}'
    upstream.fault('*', { unsolicited })
    expect((await site.manifest(repository, 'v1')).body.equals(bytes)).toBe(true)
    expectWhole(await site.blob(repository, blob.digest), blob)
    expect(await site.manifest(repository, 'v1')).toMatchObject({ headers: { 'docker-content-digest': digest } })
    expect((await site.manifest(repository, 'v1')).body.equals(bytes)).toBe(true)
  })

  it('A15: bytes that are said to be compressed pass as they are, and are hashed as they are', async () => {
    const { site, upstream, blob } = siteWith(1000, 'A15')
    const other = upstream.addBlob(repository, blobOf('compressed by a meddler'))
    upstream.fault('blob', { headers: { 'content-encoding': 'gzip' } })
    const got = await site.blob(repository, blob.digest)
    expectWhole(got, blob)
    expect(got.headers['content-encoding']).toBeUndefined()
    upstream.fault('blob', { body: 'not what was asked for' })
    expect(told(await site.blob(repository, other.digest))).toEqual(unavailable)
  })
})
