import { describe, expect, it } from 'vitest'
import { subscribe } from '../../src/telemetry/events.ts'
import { bytesOf, digestOfBody, upstreamTo } from '../support/faulty-rule.ts'
import { image, randomBlob, startUpstream } from '../support/faulty-upstream.ts'

const repository = 'library/nginx'
const tag = { repository, tag: 'latest' }
const timeouts = { connectMs: 1000, headersMs: 1000, idleMs: 1000 }

describe('a limit of transfers', () => {
  it('lets that many be under way, and the next in their order', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { changes: { limits: { concurrency: 2 } } })
    const blobs = [1, 2, 3, 4].map((seed) => remote.addBlob(repository, randomBlob(2_000_000, seed)))
    const waiting: number[] = []
    const end = subscribe('cistern:waiting', ({ upstream, change }) => upstream === remote.host && waiting.push(change))
    const order: number[] = []
    const reads = blobs.map(async ({ digest }, index) => {
      const { body } = await upstream.blob(repository, digest)
      order.push(index)
      return body
    })
    const first = await reads[0]
    const second = await reads[1]
    expect(remote.requests('GET', 'blob')).toHaveLength(2)
    remote.addImage(repository, 'latest', image())
    await upstream.manifest(tag) // what is small does not wait for what is large
    expect(second && (await digestOfBody(second))).toBe(blobs[1]?.digest)
    await bytesOf((await reads[2]) ?? expect.fail())
    await bytesOf((await reads[3]) ?? expect.fail())
    await first?.[Symbol.asyncDispose]()
    end()
    expect(order.slice(2)).toEqual([2, 3])
    expect(waiting.reduce((sum, change) => sum + change, 0)).toBe(0)
  })

  it('counts no transfer that failed to begin, or that was not wanted', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { timeouts, changes: { limits: { concurrency: 1 } } })
    const blob = remote.addBlob(repository, randomBlob(2_000_000))
    await expect(upstream.blob(repository, randomBlob(1).digest)).rejects.toMatchObject({ kind: 'unknown' })
    const { body } = await upstream.blob(repository, blob.digest)
    await body[Symbol.asyncDispose]()
    await body[Symbol.asyncDispose]()
    expect(await digestOfBody((await upstream.blob(repository, blob.digest)).body)).toBe(blob.digest)
  })

  it('counts a transfer that is resumed as one', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { timeouts, changes: { limits: { concurrency: 1 } } })
    const blob = remote.addBlob(repository, randomBlob(2_000_000))
    remote.fault('blob', { times: 1, resetAfter: 1_000_000 })
    const { body } = await upstream.blob(repository, blob.digest)
    const next = upstream.blob(repository, blob.digest, { range: { start: 0, end: 9 } })
    expect(await digestOfBody(body)).toBe(blob.digest)
    expect(await bytesOf((await next).body)).toHaveLength(10)
  })

  it('keeps nobody waiting for longer than for headers, and tells them when to come again', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { timeouts, changes: { limits: { concurrency: 1 } } })
    const blob = remote.addBlob(repository, randomBlob(2_000_000))
    await using held = (await upstream.blob(repository, blob.digest)).body
    await expect(upstream.blob(repository, blob.digest)).rejects.toMatchObject({
      kind: 'throttled',
      retryAfterMs: timeouts.headersMs,
    })
    const waits: number[] = []
    const end = subscribe('cistern:waiting', (event) => event.upstream === remote.host && waits.push(event.change))
    await expect(upstream.blob(repository, blob.digest, { check: true })).rejects.toMatchObject({ kind: 'throttled' })
    end()
    expect(waits).toEqual([])
    const leaving = new AbortController()
    const gone = upstream.blob(repository, blob.digest, { signal: leaving.signal })
    leaving.abort()
    await expect(gone).rejects.toBe(leaving.signal.reason)
    expect(remote.requests('GET', 'blob')).toHaveLength(1)
    expect(await digestOfBody(held)).toBe(blob.digest)
  })
})

describe('a limit of requests', () => {
  it('lets a burst pass, makes the next wait, and refuses who would have to wait too long', async () => {
    await using remote = await startUpstream()
    let now = 0
    const changes = { limits: { requestsPerSecond: 5 } }
    await using upstream = upstreamTo(remote.url, { timeouts, changes, now: () => now })
    remote.addImage(repository, 'latest', image())
    const asked = Array.from({ length: 12 }, () => upstream.resolve(tag))
    const results = await Promise.allSettled(asked)
    expect(results.map(({ status }) => status)).toEqual([...Array(10).fill('fulfilled'), 'rejected', 'rejected'])
    await expect(asked[11]).rejects.toMatchObject({ kind: 'throttled', retryAfterMs: 1200 })
    expect(remote.requests()).toHaveLength(10)
    now = 1200
    await upstream.resolve(tag) // ours was no wish of upstream's to be left alone
  })

  it('counts what it takes to get in, and not what others are asked', async () => {
    await using remote = await startUpstream()
    await using cdn = await startUpstream()
    const changes = { limits: { requestsPerSecond: 2 }, redirectHosts: [cdn.url] }
    await using upstream = upstreamTo(remote.url, { timeouts, changes, now: () => 0 })
    remote.requireToken()
    remote.signBlobUrls(cdn)
    const blob = remote.addBlob(repository, randomBlob(1000))
    await bytesOf((await upstream.blob(repository, blob.digest)).body) // refused, and let in with a token
    await upstream.stat(repository, blob.digest)
    expect(remote.requests().map(({ kind }) => kind)).toEqual(['blob', 'token', 'blob', 'blob'])
    await upstream.stat(repository, blob.digest)
    await expect(upstream.stat(repository, blob.digest)).rejects.toMatchObject({ kind: 'throttled' })
  })

  it('ends with the caller', async () => {
    await using remote = await startUpstream()
    const changes = { limits: { requestsPerSecond: 4 } }
    await using upstream = upstreamTo(remote.url, { timeouts, changes, now: () => 0 })
    remote.addImage(repository, 'latest', image())
    await Promise.all(Array.from({ length: 4 }, () => upstream.resolve(tag)))
    const leaving = new AbortController()
    const gone = upstream.resolve(tag, { signal: leaving.signal })
    leaving.abort()
    await expect(gone).rejects.toBe(leaving.signal.reason)
    const late = upstream.resolve(tag, { signal: AbortSignal.timeout(10) })
    await expect(late).rejects.toMatchObject({ kind: 'unavailable', timedOut: true })
    expect(remote.requests()).toHaveLength(4)
  })
})

describe('a limit of bandwidth', () => {
  it('holds upstream back, over all transfers, and spoils none of them', async () => {
    await using remote = await startUpstream()
    const bytesPerSecond = 4_000_000
    await using upstream = upstreamTo(remote.url, { timeouts, changes: { limits: { bytesPerSecond } } })
    const blobs = [1, 2].map((seed) => remote.addBlob(repository, randomBlob(1_000_000, seed)))
    const startedAt = performance.now()
    const read = await Promise.all(
      blobs.map(async ({ digest }) => digestOfBody((await upstream.blob(repository, digest)).body)),
    )
    const tookMs = performance.now() - startedAt
    expect(read).toEqual(blobs.map(({ digest }) => digest))
    const burst = 4 * 64 * 1024
    expect(tookMs).toBeGreaterThan(((2_000_000 - burst) / bytesPerSecond) * 1000)
  })

  it('takes no slowness of its own for one of upstream', async () => {
    await using remote = await startUpstream()
    const changes = { limits: { bytesPerSecond: 100_000 } }
    await using upstream = upstreamTo(remote.url, { timeouts: { ...timeouts, idleMs: 300 }, changes })
    const blob = remote.addBlob(repository, randomBlob(150_000))
    expect(await digestOfBody((await upstream.blob(repository, blob.digest)).body)).toBe(blob.digest)
    expect(remote.requests('GET', 'blob')).toHaveLength(1)
  })
})
