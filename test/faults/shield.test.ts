import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { type FaultyUpstream, image, randomBlob, startUpstream } from '../support/faulty-upstream.ts'
import { told } from './client.ts'
import { Ground, ruleTo } from './ground.ts'

const repository = 'team/app'
const ok = { status: 200, code: undefined }
const throttled = { status: 429, code: 'TOOMANYREQUESTS' }
const accounts = { one: 'canary1', two: 'canary2' }
const credentials = Object.entries(accounts).map(([username, password]) => ({ username, password }))

const resources = new AsyncDisposableStack()
const names = [
  'quota',
  'reserve',
  'accounts',
  'mirror',
  'canonical',
  'private',
  'lacking',
  'meanwhile',
  'narrow',
] as const
const upstreams = new Map<string, FaultyUpstream>()
let ground: Ground

const upstreamOf = (name: (typeof names)[number]): FaultyUpstream => upstreams.get(name) ?? expect.fail()

beforeAll(async () => {
  for (const name of names) upstreams.set(name, resources.use(await startUpstream()))
  const urlOf = (name: (typeof names)[number]) => upstreamOf(name).url
  ground = resources.use(
    await Ground.start({
      rules: [
        ruleTo('quota.test', urlOf('quota')),
        ruleTo('reserve.test', urlOf('reserve'), { budget: { reserve: 20 } }),
        ruleTo('accounts.test', urlOf('accounts'), { credentials }),
        ruleTo('mirrored.test', urlOf('canonical'), { upstreams: [urlOf('mirror')] }),
        ruleTo('private.test', urlOf('private'), {
          credential: credentials[0] ?? {},
          upstreams: [urlOf('lacking'), urlOf('private')],
          fallThroughOnUnknown: true,
        }),
        ruleTo('meanwhile.test', urlOf('meanwhile'), { staleWhileRevalidate: '1h' }),
        ruleTo('narrow.test', urlOf('narrow'), { limits: { concurrency: 1, requestsPerSecond: 1000 } }),
      ],
    }),
  )
})

afterAll(() => resources.disposeAsync())

describe('an upstream with a quota', () => {
  it('B26 B27: 429 after five pulls: what is cached is served, the rest is told when to come again', async () => {
    const upstream = upstreamOf('quota')
    const client = ground.at('quota.test')
    const tags = ['v1', 'v2', 'v3', 'v4', 'v5']
    for (const tag of [...tags, 'v6']) upstream.addImage(repository, tag, image({ seed: tag }))
    upstream.fault('manifest', { after: 5, status: 429, headers: { 'retry-after': '60' } })
    for (const tag of tags) expect(told(await client.manifest(repository, tag))).toEqual(ok)
    const refused = await client.manifest(repository, 'v6')
    expect(told(refused)).toEqual(throttled)
    expect(upstream.requests()).toHaveLength(6)

    for (const tag of tags) {
      const { status, headers } = await client.manifest(repository, tag)
      expect(status).toBe(200)
      expect(headers.warning).toBe('299 cistern "stale: upstream throttled"')
      expect(headers['cache-status']).toMatch(/^cistern; hit; ttl=-\d+; detail=throttled$/)
    }
    const again = await client.manifest(repository, 'v6')
    expect(told(again)).toEqual(throttled)
    expect(Number(again.headers['retry-after'])).toBeGreaterThan(50)
    expect(told(await client.blob(repository, randomBlob(9).digest))).toEqual(throttled)
    expect(upstream.requests()).toHaveLength(6)
  })

  it('a reserve is spent on what is not cached: no check reaches upstream, and a miss does', async () => {
    const upstream = upstreamOf('reserve')
    const client = ground.at('reserve.test')
    upstream.addImage(repository, 'v1', image({ seed: 'r1' }))
    upstream.addImage(repository, 'v2', image({ seed: 'r2' }))
    upstream.fault('manifest', { headers: { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '20;w=21600' } })
    await client.manifest(repository, 'v1')
    upstream.forget()

    for (const path of [`${repository}/manifests/v1`, `${repository}/tags/list`]) {
      const { status, headers } = await client.get(path)
      expect(status).toBe(200)
      expect(headers.warning).toBe('299 cistern "stale: upstream throttled"')
    }
    expect(upstream.requests()).toEqual([])
    expect(told(await client.manifest(repository, 'v2'))).toEqual(ok)
    expect(upstream.requests()).toHaveLength(1)
    const metrics = await ground.metrics()
    expect(metrics).toContain(`cistern_upstream_ratelimit_remaining{upstream_host="${upstream.host}"} 20`)
    expect(metrics).toMatch(/cistern_stale_served_total\{reason="throttled"\} [1-9]/)
  })

  it('the second account takes over from the first, and no password gets into the log', async () => {
    const upstream = upstreamOf('accounts')
    const client = ground.at('accounts.test')
    upstream.addImage(repository, 'v1', image({ seed: 'a1' }))
    upstream.addImage(repository, 'v2', image({ seed: 'a2' }))
    upstream.requireToken({ users: accounts })
    expect(told(await client.manifest(repository, 'v1'))).toEqual(ok)
    upstream.fault('manifest', { times: 1, status: 429, headers: { 'retry-after': '60' } })
    expect(told(await client.manifest(repository, 'v2'))).toEqual(ok)
    const users = upstream.requests('GET', 'token').map(({ headers }) => {
      return Buffer.from(headers.authorization?.replace('Basic ', '') ?? '', 'base64').toString()
    })
    expect(users).toEqual(['one:canary1', 'two:canary2'])
    expect(ground.cistern.logs.join('\n')).not.toContain('canary')
  })
})

describe('several upstreams', () => {
  it('A3: the second answers while the first is down, and nobody notices', async () => {
    const mirror = upstreamOf('mirror')
    const canonical = upstreamOf('canonical')
    const client = ground.at('mirrored.test')
    const pushed = image({ seed: 'm1' })
    for (const upstream of [mirror, canonical]) upstream.addImage(repository, 'v1', pushed)
    expect(told(await client.manifest(repository, 'v1'))).toEqual(ok)
    expect(canonical.requests()).toEqual([])
    await mirror.goDown()
    const { headers, status } = await client.manifest(repository, 'v1')
    expect({ status, warning: headers.warning }).toEqual({ status: 200, warning: undefined })
    const blob = await client.blob(repository, pushed.config.digest)
    expect(blob.body).toEqual(pushed.config.bytes())
    expect(canonical.requests().map(({ method, kind }) => [method, kind])).toEqual([
      ['HEAD', 'manifest'],
      ['GET', 'blob'],
    ])
  })

  it('I5: what a mirror lacks comes from the one with the credential, which the mirror never sees', async () => {
    const lacking = upstreamOf('lacking')
    const canonical = upstreamOf('private')
    const client = ground.at('private.test')
    lacking.requireBasic('nobody', 'nothing')
    canonical.requireBasic('one', accounts.one)
    const pushed = canonical.addImage(repository, 'v1', image({ seed: 'p1' }))
    const got = await client.manifest(repository, 'v1')
    expect(got.headers['docker-content-digest']).toBe(pushed.digest)
    expect(lacking.requests().length).toBeGreaterThan(0)
    expect(lacking.requests().filter(({ headers }) => headers.authorization)).toEqual([])
  })
})

describe('a tag under a rule with staleWhileRevalidate', () => {
  it('is answered at once from what is cached, and later fresh', async () => {
    const upstream = upstreamOf('meanwhile')
    const client = ground.at('meanwhile.test')
    const old = upstream.addImage(repository, 'v1', image({ seed: 's1' }))
    await client.manifest(repository, 'v1')
    const next = upstream.addImage(repository, 'v1', image({ seed: 's2' }))
    const gate = Promise.withResolvers<void>()
    upstream.fault('manifest', { until: gate.promise, times: 1 })
    for (let pull = 0; pull < 3; pull++) {
      const { headers } = await client.manifest(repository, 'v1')
      expect(headers['docker-content-digest']).toBe(old.digest)
      expect(headers['cache-status']).toMatch(/^cistern; hit; ttl=-\d+; detail=revalidating$/)
      expect(headers.warning).toBeUndefined()
    }
    gate.resolve()
    await eventually(async () => {
      const { headers } = await client.manifest(repository, 'v1')
      expect(headers['docker-content-digest']).toBe(next.digest)
    })
    expect(upstream.requests('GET', 'manifest', next.digest)).toHaveLength(1)
    expect(await ground.metrics()).toMatch(/cistern_stale_served_total\{reason="revalidating"\} [1-9]/)
  })
})

describe('an upstream with limits of ours', () => {
  it('sends one blob at a time, and who waits is counted', async () => {
    const upstream = upstreamOf('narrow')
    const client = ground.at('narrow.test')
    const blobs = [1, 2].map((seed) => upstream.addBlob(repository, randomBlob(3_000_000, seed)))
    const gate = Promise.withResolvers<void>()
    upstream.fault('blob', { times: 1, until: gate.promise })
    const [first, second] = blobs.map(({ digest }) => client.blob(repository, digest))
    await upstream.seen(1, 'GET', 'blob')
    const waiting = `cistern_upstream_waiting{upstream_host="${upstream.host}"}`
    await eventually(async () => expect(await ground.metrics()).toContain(`${waiting} 1`))
    expect(upstream.requests('GET', 'blob')).toHaveLength(1)
    gate.resolve()
    expect((await first)?.body.length).toBe(3_000_000)
    expect((await second)?.body.length).toBe(3_000_000)
    expect(await ground.metrics()).toContain(`${waiting} 0`)
  })
})
