import { describe, expect, it } from 'vitest'
import { type Events, subscribe } from '../../src/telemetry/events.ts'
import { upstreamTo } from '../support/faulty-rule.ts'
import { image, randomBlob, startUpstream } from '../support/faulty-upstream.ts'

const repository = 'library/nginx'
const tag = { repository, tag: 'latest' }

describe('an upstream that throttles', () => {
  it('B26: is asked nothing until its Retry-After is over', async () => {
    let now = 0
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { now: () => now })
    remote.addImage(repository, 'latest', image())
    remote.fault('manifest', { times: 1, status: 429, headers: { 'retry-after': '120' } })
    await expect(upstream.resolve(tag)).rejects.toMatchObject({ kind: 'throttled', retryAfterMs: 120_000 })
    now = 119_000
    const asked = [upstream.resolve(tag), upstream.blob(repository, randomBlob(1).digest), upstream.tags(repository)]
    for (const refused of asked) await expect(refused).rejects.toMatchObject({ kind: 'throttled', retryAfterMs: 1000 })
    expect(remote.requests()).toHaveLength(1)
    now = 120_000
    await upstream.resolve(tag)
  })

  it.each([
    ['a date', new Date(Date.now() + 90_000).toUTCString(), 60_000, 90_000],
    ['a date long gone', new Date(0).toUTCString(), 0, 0],
    ['nothing', null, 30_000, 30_000],
    ['nonsense', 'soon', 30_000, 30_000],
    ['a year', '31536000', 3_600_000, 3_600_000],
  ])('B27: with %s as Retry-After', async (_, value, least, most) => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { now: () => 0 })
    remote.fault('manifest', { status: 429, headers: { 'retry-after': value } })
    const error = await upstream.resolve(tag).catch((caught: unknown) => caught)
    const { kind, retryAfterMs } = error as { kind: string; retryAfterMs: number }
    expect(kind).toBe('throttled')
    expect(retryAfterMs).toBeGreaterThanOrEqual(least)
    expect(retryAfterMs).toBeLessThanOrEqual(most)
  })

  it('B27: at its token endpoint counts the same', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { now: () => 0 })
    remote.requireToken()
    remote.fault('token', { status: 429, headers: { 'retry-after': '7' } })
    await expect(upstream.resolve(tag)).rejects.toMatchObject({ kind: 'throttled', retryAfterMs: 7000 })
    await expect(upstream.resolve(tag)).rejects.toMatchObject({ kind: 'throttled', retryAfterMs: 7000 })
    expect(remote.requests()).toHaveLength(2)
  })

  it('says what it said of its limit', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    remote.addImage(repository, 'latest', image())
    const seen: Events['cistern:ratelimit'][] = []
    const end = subscribe('cistern:ratelimit', (event) => seen.push(event))
    const limits = { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '42;w=21600' }
    remote.fault('manifest', { headers: { ...limits, 'docker-ratelimit-source': '192.0.2.7' } })
    await upstream.resolve(tag)
    end()
    expect(seen).toEqual([
      { upstream: remote.host, limit: 100, remaining: 42, windowMs: 21_600_000, source: '192.0.2.7' },
    ])
  })
})

describe('an upstream that fails', () => {
  it.each([500, 502, 503, 504])('B28: with %i is asked twice more', async (status) => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    const nginx = remote.addImage(repository, 'latest', image())
    remote.fault('manifest', { times: 2, status })
    expect((await upstream.resolve(tag)).descriptor).toEqual(nginx.descriptor)
    remote.forget()
    remote.fault('manifest', { status })
    await expect(upstream.resolve(tag)).rejects.toMatchObject({ kind: 'unavailable', timedOut: false })
    expect(remote.requests()).toHaveLength(3)
  })

  it('B28: and names a time is not asked again', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    remote.fault('manifest', { status: 503, headers: { 'retry-after': '5' } })
    await expect(upstream.resolve(tag)).rejects.toMatchObject({ kind: 'unavailable', retryAfterMs: 5000 })
    expect(remote.requests()).toHaveLength(1)
  })

  it.each([
    [400, 'corrupt'],
    [403, 'denied'],
    [410, 'unknown'],
    [418, 'corrupt'],
    [204, 'corrupt'],
    [304, 'corrupt'],
  ])('with %i is %s, and its words reach nobody', async (status, kind) => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    remote.fault('*', { status, ...(status >= 400 && { body: '<b>canary</b>' }) })
    for (const asked of [upstream.manifest(tag), upstream.blob(repository, randomBlob(1).digest)]) {
      await expect(asked).rejects.toMatchObject({ kind, message: expect.not.stringContaining('canary') })
    }
  })

  it('announces each request with what it was for', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    remote.addImage(repository, 'latest', image())
    remote.requireToken()
    const seen: unknown[] = []
    const pulled: unknown[] = []
    const ends = [
      subscribe('cistern:upstream', ({ upstream, kind, method, status, requestId }) => {
        if (upstream === remote.host) seen.push([kind, method, status, requestId])
      }),
      subscribe(
        'cistern:pulled',
        ({ upstream, kind, bytes }) => upstream === remote.host && pulled.push([kind, bytes]),
      ),
    ]
    const { descriptor } = await upstream.manifest(tag, { requestId: 'r1' })
    for (const end of ends) end()
    expect(seen).toEqual([
      ['manifest', 'GET', 401, 'r1'],
      ['token', 'GET', 200, undefined],
      ['manifest', 'GET', 200, 'r1'],
    ])
    expect(pulled.at(-1)).toEqual(['manifest', descriptor.size])
  })
})

describe('an upstream whose refusals never end', () => {
  it('keeps nobody waiting for their bodies', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { timeouts: { connectMs: 1000, headersMs: 60_000, idleMs: 60_000 } })
    remote.fault('manifest', { status: 404, body: 'x'.repeat(100), stallAfter: 1 })
    await expect(upstream.manifest(tag)).rejects.toMatchObject({ kind: 'unknown' })
    remote.heal()
    remote.fault('manifest', { status: 404, body: 'x'.repeat(1_000_000), stallAfter: 500_000 })
    await expect(upstream.manifest(tag)).rejects.toMatchObject({ kind: 'unknown' })
  })

  it('a connection whose answer was read serves again', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    const nginx = remote.addImage(repository, 'latest', image())
    remote.requireToken()
    await upstream.manifest(tag)
    await expect(upstream.manifest({ repository, tag: 'no' })).rejects.toMatchObject({ kind: 'unknown' })
    await upstream.manifest({ repository, digest: nginx.digest })
    await upstream.tags(repository)
    expect(remote.requests()).toHaveLength(6)
    expect(remote.connections).toBe(1)
  })
})
