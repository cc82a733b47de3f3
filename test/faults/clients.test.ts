import { readdir } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { dockerManifest, type FaultyUpstream, image, randomBlob } from '../support/faulty-upstream.ts'
import { RawConnection } from '../support/raw-http.ts'
import { digestOfBytes, take, told } from './client.ts'
import { Ground, type Site } from './ground.ts'

const MiB = 1024 * 1024
const repository = 'team/app'

let ground: Ground

beforeAll(async () => {
  ground = await Ground.start({ sites: 12 })
})

afterAll(() => ground[Symbol.asyncDispose]())

function siteWith(size: number, seed: string) {
  const site = ground.site()
  return { site, upstream: site.upstream, blob: site.upstream.addBlob(repository, randomBlob(size, seed)) }
}

/** Holds the first transfer of a blob back after some bytes, until it is told to go on. */
function held(upstream: FaultyUpstream, pauseAfter: number): () => void {
  const { promise, resolve } = Promise.withResolvers<void>()
  upstream.fault('blob', { method: 'GET', pauseAfter, resume: promise, times: 1 })
  return resolve
}

/** The blob once it is served from disk: until then requests join the transfer. */
const hitOf = (site: Site, digest: string) =>
  eventually(async () => {
    const got = await site.blob(repository, digest)
    expect(got.headers['cache-status']).toMatch(/^cistern; hit/)
    return got
  })

describe.concurrent('clients that leave', () => {
  it('D57: in the middle of a miss: the transfer is finished, and the next pull is a hit', async () => {
    const { site, upstream, blob } = siteWith(4 * MiB, 'D57')
    const goOn = held(upstream, 2 * MiB)
    const response = await site.openBlob(repository, blob.digest)
    await take(response, MiB)
    response.destroy()
    goOn()

    const got = await hitOf(site, blob.digest)

    expect(digestOfBytes(got.body)).toBe(blob.digest)
    expect(upstream.requests()).toHaveLength(1)
  })

  it('D57: before upstream answered: the transfer is finished', async () => {
    const { site, upstream, blob } = siteWith(2 * MiB, 'D57 early')
    const { promise, resolve: answer } = Promise.withResolvers<void>()
    upstream.fault('blob', { until: promise })
    const left = new AbortController()
    const gone = site.openBlob(repository, blob.digest, { signal: left.signal }).catch((error: Error) => error.name)
    await upstream.seen(1)
    left.abort()
    expect(await gone).toBe('AbortError')
    answer()
    await ground.keeps(blob.digest)
    expect(upstream.requests()).toHaveLength(1)
  })

  it('D58: the first of those who wait: the others get it all, and nothing of it is left behind', async () => {
    const { site, upstream, blob } = siteWith(4 * MiB, 'D58')
    const goOn = held(upstream, 2 * MiB)
    const first = await site.openBlob(repository, blob.digest)
    const others = Array.from({ length: 5 }, () => site.blob(repository, blob.digest))
    await take(first, MiB)
    first.destroy()
    goOn()
    for (const got of await Promise.all(others)) expect(digestOfBytes(got.body)).toBe(blob.digest)
    await hitOf(site, blob.digest)
    expect(upstream.requests('GET', 'blob')).toHaveLength(1)
  })

  it('D58: the first of those who wait for a manifest', async () => {
    const site = ground.site()
    const { upstream } = site
    const tagged = upstream.addImage(repository, 'v1', image({ seed: 'D58 tagged' }))
    const named = upstream.addImage(repository, undefined, image({ seed: 'D58 named' }))
    for (const [reference, { bytes }] of [
      ['v1', tagged],
      [named.digest, named],
    ] as const) {
      const { promise, resolve: answer } = Promise.withResolvers<void>()
      upstream.fault('manifest', { until: promise })
      const left = new AbortController()
      const gone = site.manifest(repository, reference, { signal: left.signal }).catch(() => 'gone')
      await upstream.seen(1, 'GET', 'manifest', reference)
      const others = [site.manifest(repository, reference), site.manifest(repository, reference)]
      left.abort()
      expect(await gone).toBe('gone')
      answer()
      for (const got of await Promise.all(others)) expect(got.body.equals(bytes)).toBe(true)
    }
  })
})

describe.concurrent('questions about what is not cached', () => {
  it('D65: HEAD of a blob and of a manifest: one HEAD upstream, and no transfer', async () => {
    const { site, upstream, blob } = siteWith(4 * MiB, 'D65')
    const manifest = upstream.addImage(repository, 'v1', image({ seed: 'D65' }))
    const head = { method: 'HEAD' }
    const asked = [
      [await site.blob(repository, blob.digest, head), blob.digest, blob.size],
      [await site.manifest(repository, 'v1', head), manifest.digest, manifest.bytes.length],
      [await site.manifest(repository, manifest.digest, head), manifest.digest, manifest.bytes.length],
    ] as const
    for (const [got, digest, size] of asked) {
      expect(got).toMatchObject({
        status: 200,
        headers: { 'docker-content-digest': digest, 'content-length': String(size) },
      })
      expect(got.body).toHaveLength(0)
    }
    expect(new Set(upstream.requests().map(({ method }) => method))).toEqual(new Set(['HEAD']))
    expect(await ground.stored()).not.toContain(blob.digest)
    expect((await site.blob(repository, randomBlob(5, 'D65 none').digest, head)).status).toBe(404)
  })

  it('D65: two hundred of them leave no file and no connection open', async () => {
    const { site, upstream, blob } = siteWith(2 * MiB, 'D65 leak')
    const missing = upstream.addBlob(repository, randomBlob(2 * MiB, 'D65 uncached'))
    await hitOf(site, blob.digest)
    const open = async () => (await readdir(`/proc/${ground.cistern.pid}/fd`)).length
    const before = await open()
    for (let round = 0; round < 10; round++) {
      const digests = Array.from({ length: 20 }, (_, number) => (number % 2 ? blob : missing).digest)
      await Promise.all(digests.map((digest) => site.blob(repository, digest, { method: 'HEAD' })))
    }
    await eventually(async () => expect(await open()).toBeLessThan(before + 40))
    expect(upstream.requests('GET', 'blob')).toHaveLength(1)
  })

  it('D66: an Accept without the stored type: the stored type', async () => {
    const site = ground.site()
    const { upstream } = site
    const { bytes } = upstream.addImage(repository, 'v1', image({ seed: 'D66', mediaType: dockerManifest }))
    for (const accept of ['application/vnd.oci.image.index.v1+json', 'text/html', 'application/json;q=0', '*/*']) {
      const got = await site.manifest(repository, 'v1', { headers: { accept } })
      expect(got).toMatchObject({ status: 200, headers: { 'content-type': dockerManifest } })
      expect(got.body.equals(bytes)).toBe(true)
    }
  })

  it('D67: an Accept-Encoding: the bytes as they are', async () => {
    const { site, blob } = siteWith(5000, 'D67')
    const { bytes } = site.upstream.addImage(repository, 'v1', image({ seed: 'D67' }))
    const headers = { 'accept-encoding': 'gzip, zstd, br, deflate' }
    for (const [got, expected] of [
      [await site.blob(repository, blob.digest, { headers }), blob.bytes()],
      [await site.manifest(repository, 'v1', { headers }), bytes],
    ] as const) {
      expect(got.headers['content-encoding']).toBeUndefined()
      expect(got.body.equals(expected)).toBe(true)
    }
    for (const request of site.upstream.requests()) expect(request.headers['accept-encoding']).toBe('identity')
  })
})

describe.concurrent('requests that would change something', () => {
  it('D68: every method on every route: 405, and what is stored is what it was', async () => {
    const site = ground.site()
    const { upstream } = site
    const pushed = upstream.addImage(repository, 'v1', image({ seed: 'D68' }))
    await site.manifest(repository, 'v1')
    await site.blob(repository, pushed.config.digest)
    await ground.keeps(pushed.config.digest)
    const before = upstream.requests().length
    const of = `/v2/${site.prefix}/${repository}`
    const routes = ['/v2/', '/v2/_catalog', `${of}/tags/list`, `${of}/manifests/v1`, `${of}/manifests/${pushed.digest}`]
    const more = [
      `${of}/blobs/${pushed.config.digest}`,
      `${of}/blobs/uploads/`,
      `${of}/blobs/uploads/1-2-3`,
      `${of}/referrers/${pushed.digest}`,
    ]
    for (const path of [...routes, ...more]) {
      for (const method of ['PUT', 'POST', 'PATCH', 'DELETE']) {
        const got = await ground.get(path, { method, ...(method !== 'DELETE' && { body: '{"layers":[]}' }) })
        expect([method, path, told(got)]).toEqual([method, path, { status: 405, code: 'UNSUPPORTED' }])
        expect(got.headers.allow).toBe('GET, HEAD')
      }
    }
    expect(upstream.requests()).toHaveLength(before)
    expect((await site.manifest(repository, 'v1')).body.equals(pushed.bytes)).toBe(true)
    expect((await site.blob(repository, pushed.config.digest)).body.equals(pushed.config.bytes())).toBe(true)
  })

  it('D68: a body of any length is not waited for', async () => {
    const { port } = new URL(ground.cistern.url)
    await using connection = new RawConnection(Number(port))
    connection.send(
      'PUT /v2/site0.test/team/app/manifests/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000000\r\n\r\n',
    )
    const got = await connection.response()
    expect(got).toMatchObject({ status: 405, complete: true })
  })
})

describe.concurrent('one connection for several requests', () => {
  it('D69: after answers that were broken off: no byte of one stands in another', async () => {
    const { site, upstream, blob } = siteWith(3 * MiB, 'D69')
    const manifest = upstream.addImage(repository, 'v1', image({ seed: 'D69' }))
    upstream.fault('blob', { corruptAt: 100 })
    await using connection = new RawConnection(Number(new URL(ground.cistern.url).port))
    const of = `/v2/${site.prefix}/${repository}`
    connection.get(`${of}/manifests/v1`).get(`${of}/blobs/${blob.digest}`).get(`${of}/manifests/v1`)

    const first = await connection.response()
    expect(first.body.equals(manifest.bytes)).toBe(true)
    const broken = await connection.response()
    expect(broken).toMatchObject({ status: 200, complete: false })
    expect(broken.body.equals(damaged(blob.bytes()).subarray(0, broken.body.length))).toBe(true)
    expect(await connection.rest()).toBe('')
    expect((await site.manifest(repository, 'v1')).body.equals(manifest.bytes)).toBe(true)
  })

  it('D69: answers of all sorts in a row are each their own', async () => {
    const { site, upstream, blob } = siteWith(2 * MiB, 'D69 row')
    const manifest = upstream.addImage(repository, 'v1', image({ seed: 'D69 row' }))
    await using connection = new RawConnection(Number(new URL(ground.cistern.url).port))
    const of = `/v2/${site.prefix}/${repository}`
    for (let round = 0; round < 3; round++) {
      connection.send(`HEAD ${of}/blobs/${blob.digest} HTTP/1.1\r\nHost: x\r\n\r\n`)
      expect(await connection.response('HEAD')).toMatchObject({ status: 200 })
      const part = await connection.get(`${of}/blobs/${blob.digest}`, 'Range: bytes=5-9').response()
      expect(part.body.equals(blob.slice(5, 10))).toBe(true)
      expect(await connection.get(`${of}/blobs/sha256:x`).response()).toMatchObject({ status: 400, complete: true })
      const whole = await connection.get(`${of}/blobs/${blob.digest}`).response()
      expect(digestOfBytes(whole.body)).toBe(blob.digest)
      expect(
        (await connection.get(`${of}/manifests/v1`, `If-None-Match: "${manifest.digest}"`).response()).status,
      ).toBe(304)
      expect((await connection.get(`${of}/manifests/v1`).response()).body.equals(manifest.bytes)).toBe(true)
    }
  })
})

const damaged = (bytes: Buffer): Buffer => {
  bytes[100] = (bytes[100] ?? 0) ^ 0xff
  return bytes
}
