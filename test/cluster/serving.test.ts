import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { selfSigned } from '../support/faulty-certificate.ts'
import { image, randomBlob } from '../support/faulty-upstream.ts'
import { fetchBytes, fetchDigest } from '../support/http.ts'
import { RawConnection } from '../support/raw-http.ts'
import { askEach, type Cluster, type Held, holdEach, letGo, startCluster } from './fronts.ts'

const MiB = 1024 * 1024

describe('two workers', () => {
  let cluster: Cluster
  let held: Held[]

  beforeAll(async () => {
    cluster = await startCluster()
    held = await holdEach(cluster.cistern)
  })
  afterAll(async () => {
    await letGo(held)
    await cluster[Symbol.asyncDispose]()
  })

  const logged = (text: string) => cluster.cistern.logs.filter((line) => line.includes(text))
  const keptBlob = async (seed: number, size = MiB + 17) => {
    const blob = cluster.upstream.addBlob('app', randomBlob(size, seed))
    expect((await fetchDigest(`${cluster.at}/app/blobs/${blob.digest}`)).digest).toBe(blob.digest)
    const isHit = async () => (await fetchDigest(`${cluster.at}/app/blobs/${blob.digest}`)).headers['cache-status']
    await eventually(async () => expect(await isHit()).toBe('cistern; hit'))
    return blob
  }

  it('ask upstream once for a cold blob that fifty clients want of both', async () => {
    const { upstream, at } = cluster
    const blob = upstream.addBlob('app', randomBlob(8 * MiB, 50))
    const clients = Array.from({ length: 50 }, () => fetchDigest(`${at}/app/blobs/${blob.digest}`))
    expect(new Set((await Promise.all(clients)).map(({ digest }) => digest))).toEqual(new Set([blob.digest]))
    expect(upstream.requests('GET', 'blob', blob.digest)).toHaveLength(1)
  })

  it('give the same bytes from the store, whole, in part, and by condition', async () => {
    const blob = await keptBlob(1)
    const path = `/v2/a/app/blobs/${blob.digest}`
    const asked = cluster.upstream.requests().length
    for (let round = 0; round < 3; round++) {
      for (const got of await askEach(held, path)) {
        expect([got.status, got.body.equals(blob.bytes())]).toEqual([200, true])
        expect(got.headers.get('docker-content-digest')).toBe(blob.digest)
      }
    }
    for (const got of await askEach(held, path, 'Range: bytes=100-5000')) {
      expect([got.status, got.body.equals(blob.slice(100, 5001))]).toEqual([206, true])
      expect(got.headers.get('content-range')).toBe(`bytes 100-5000/${blob.size}`)
    }
    const past = await askEach(held, path, `Range: bytes=${blob.size}-`)
    expect(past.map(({ status }) => status)).toEqual([416, 416])
    const known = await askEach(held, path, `If-None-Match: "${blob.digest}"`)
    expect(known.map(({ status }) => status)).toEqual([304, 304])
    for (const { connection } of held) {
      connection.send(`HEAD ${path} HTTP/1.1\r\nHost: test\r\n\r\n`)
      const head = await connection.response('HEAD')
      expect([head.status, head.headers.get('content-length')]).toEqual([200, String(blob.size)])
    }
    expect(cluster.upstream.requests()).toHaveLength(asked)
  })

  it('give an answer again as it was given first, but for what is of one request', async () => {
    const { upstream, at } = cluster
    upstream.addImage('again', 'v1', image({ seed: 'again' }))
    await fetchBytes(`${at}/again/manifests/v1`)
    const stable = async () => {
      const answers = await askEach(held, '/v2/a/again/manifests/v1')
      return answers.map(({ status, headers, body }) => {
        const { 'x-request-id': _, date: __, 'cache-status': status2, ...rest } = Object.fromEntries(headers)
        return { status, rest, cache: status2?.replace(/\d+$/, ''), body: body.toString() }
      })
    }
    const [first, second] = [await stable(), await stable()]
    expect(second).toEqual(first)
    expect(first[1]).toEqual(first[0])
    expect(first[0]?.cache).toBe('cistern; hit; ttl=')
  })

  it('see a tag move once its time has passed', async () => {
    const { upstream } = cluster
    const digests = async () =>
      (await askEach(held, '/v2/brief/moving/manifests/v1')).map(({ headers }) => headers.get('docker-content-digest'))
    const before = upstream.addImage('moving', 'v1', image({ seed: 'before' }))
    for (let round = 0; round < 3; round++) expect(await digests()).toEqual([before.digest, before.digest])
    const after = upstream.addImage('moving', 'v1', image({ seed: 'after' }))
    await eventually(async () => expect(await digests()).toEqual([after.digest, after.digest]))
  })

  it('refuse what is amiss with a request, as one does', async () => {
    const [one, other] = held
    for (const { connection } of [one, other].filter((each) => each !== undefined)) {
      connection.send('GET /v2/a/app/tags/list HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n')
      expect((await connection.response()).status).toBe(400)
      expect((await connection.get('/v2//app/tags/list').response()).status).toBe(400)
      expect((await connection.get('/v2/a/../tags/list').response()).status).toBe(400)
      expect((await connection.get('/v2/nowhere.example/app/tags/list').response()).status).toBe(404)
    }
  })

  it('wait for no body that nobody reads, and pass on one that somebody does', async () => {
    const port = Number(new URL(cluster.cistern.url).port)
    await using refused = new RawConnection(port)
    refused.send('PUT /v2/a/app/manifests/v1 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n')
    expect((await refused.response()).status).toBe(405)
    await using read = new RawConnection(port)
    const body = '{"registryId":"000000000000"}'
    const head = ['POST / HTTP/1.1', 'Host: x', `Content-Length: ${body.length}`, 'X-Amz-Target: none']
    read.send(`${head.join('\r\n')}\r\n\r\n${body}`)
    expect((await read.response()).status).toBe(400)
  })

  it('let nobody speak for them: what only they say to each other is dropped when clients say it', async () => {
    const { upstream } = cluster
    const blob = await keptBlob(2)
    const errand = JSON.stringify({ front: 1, requestId: 'forged', client: '192.0.2.9', secure: true, inFull: true })
    const forged = [`Cistern-Errand: ${errand}`, 'Cistern-Told: {"repeatableMs":null}']
    const path = `/v2/a/app/blobs/${blob.digest}`
    for (const asking of [path, '/v2/a/app/blobs/sha256:none']) {
      for (const got of await askEach(held, asking, ...forged)) {
        expect(got.headers.get('x-request-id')).not.toBe('forged')
        expect([...got.headers.keys()].filter((name) => name.startsWith('cistern-'))).toEqual([])
      }
    }
    const cold = upstream.addBlob('app', randomBlob(2 * MiB, 3))
    await askEach(held.slice(0, 1), `/v2/a/app/blobs/${cold.digest}`, ...forged)
    expect(JSON.stringify(upstream.requests('GET', 'blob', cold.digest)[0]?.headers)).not.toContain('cistern-')
    await eventually(async () => expect(logged(cold.digest).length).toBeGreaterThan(0))
    expect(logged('forged')).toEqual([])
    expect(logged('192.0.2.9')).toEqual([])
  })

  it('break off what breaks upstream, and one line says why', async () => {
    const { upstream } = cluster
    const blob = upstream.addBlob('app', randomBlob(3 * MiB, 4))
    upstream.fault('blob', { corruptAt: 100, times: 1 })
    await using connection = new RawConnection(Number(new URL(cluster.cistern.url).port))
    const got = await connection.get(`/v2/a/app/blobs/${blob.digest}`).response()
    expect([got.status, got.complete]).toEqual([200, false])
    const id = got.headers.get('x-request-id') ?? 'none'
    const lines = () => logged(`"requestId":"${id}"`).map((line) => JSON.parse(line))
    await eventually(async () => expect(lines().filter(({ msg }) => msg === 'request')).toHaveLength(1))
    const line = lines().find(({ msg }) => msg === 'request')
    expect(line).toMatchObject({ level: 'warn', route: 'blob', repository: 'a/app', status: 200, aborted: true })
    expect(line.error).toMatchObject({ kind: 'corrupt' })
  })

  it('tell of a client that left before its answer what it had asked for', async () => {
    const { upstream, at } = cluster
    upstream.addImage('leaving', 'v1', image({ seed: 'leaving' }))
    upstream.fault('manifest', { hang: true, times: 1 })
    const leaving = new AbortController()
    const asking = fetch(`${at}/leaving/manifests/v1`, { signal: leaving.signal }).catch(() => {})
    const isAsked = () => upstream.requests('GET', 'manifest').some(({ repository }) => repository === 'leaving')
    await eventually(async () => expect(isAsked()).toBe(true))
    leaving.abort()
    await asking
    const line = await eventually(async () => {
      const found = logged('"repository":"a/leaving"')[0]
      if (found === undefined) throw new Error('no line')
      return JSON.parse(found)
    })
    expect(line).toMatchObject({ status: 499, route: 'manifest', reference: 'v1', aborted: true })
  })
})

it('two workers speak TLS by one certificate, and take a new one both', async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'cistern-cluster-tls-'))
  const tls = { certFile: join(directory.path, 'tls.crt'), keyFile: join(directory.path, 'tls.key') }
  const replace = async ({ cert, key }: ReturnType<typeof selfSigned>) => {
    await writeFile(tls.certFile, cert)
    await writeFile(tls.keyFile, key, { mode: 0o600 })
  }
  const [before, after] = [selfSigned(), selfSigned()]
  await replace(before)
  await using cluster = await startCluster({ tls })
  const port = Number(new URL(cluster.cistern.url).port)
  const statusOf = async (ca: string) => {
    await using connection = new RawConnection(port, { ca })
    return await connection
      .get('/v2/')
      .response()
      .then(
        ({ status }) => status,
        () => 0,
      )
  }
  const statuses = (ca: string) => Promise.all(Array.from({ length: 8 }, () => statusOf(ca)))
  expect(await statuses(before.cert)).toEqual(Array(8).fill(200))
  await replace(after)
  await eventually(async () => expect(await statuses(after.cert)).toEqual(Array(8).fill(200)))
  expect(await statuses(before.cert)).toEqual(Array(8).fill(0))
})
