import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Image, image, startUpstream } from '../support/faulty-upstream.ts'
import { digestOfBytes, take, told } from './client.ts'
import { Ground, ruleTo } from './ground.ts'
import { type Caller, type Question, Tenants } from './tenants.ts'

const MiB = 1024 * 1024

const head = { method: 'HEAD' }
const range = { headers: { range: 'bytes=5-104' } }
const tagged = { kind: 'manifest', path: () => 'manifests/v1' } satisfies Question
const named = { kind: 'manifest', path: ({ digest }: Image) => `manifests/${digest}` } satisfies Question
const layer = { kind: 'blob', path: ({ layers }: Image) => `blobs/${layers[0]?.digest}` } satisfies Question
const referrers = { kind: 'referrers', path: ({ digest }: Image) => `referrers/${digest}` } satisfies Question
const tags = { kind: 'tags', path: () => 'tags/list' } satisfies Question

const all = (status: number): Record<Caller, number> => ({
  owner: status,
  sharer: status,
  other: status,
  anonymous: status,
})
const holders = { owner: 200, sharer: 200, other: 404, anonymous: 403 }
const slices = { ...holders, owner: 206, sharer: 206 }
const lists = { ...holders, other: 200 }

const questions: [string, Question, Record<Caller, number>][] = [
  ['get by tag', tagged, holders],
  ['head by tag', { ...tagged, asking: head }, holders],
  ['range by tag', { ...tagged, asking: range }, holders],
  ['get by digest', named, holders],
  ['head by digest', { ...named, asking: head }, holders],
  ['range by digest', { ...named, asking: range }, holders],
  ['get of a blob', layer, holders],
  ['head of a blob', { ...layer, asking: head }, holders],
  ['range of a blob', { ...layer, asking: range }, slices],
  ['referrers by digest', referrers, lists],
  ['head of referrers', { ...referrers, asking: head }, lists],
  ['referrers by tag', { ...referrers, path: () => 'referrers/v1' }, all(400)],
  ['tags', tags, lists],
  ['head of tags', { ...tags, asking: head }, lists],
]

describe('content of one tenant', () => {
  let worlds: { cold: Tenants; warm: Tenants; flying: Tenants }

  beforeAll(async () => {
    const [cold, warm, flying] = await Promise.all([Tenants.start(), Tenants.start(), Tenants.start()])
    worlds = { cold, warm, flying }
  })

  afterAll(() => Promise.all(Object.values(worlds).map((world) => world[Symbol.asyncDispose]())))

  it.concurrent.each(questions)(
    'F83: %s: one answer to each, cold, warm and in flight',
    async (what, question, statuses) => {
      const name = what.replaceAll(' ', '-')
      const [cold, warm, inFlight] = await Promise.all([
        worlds.cold.answers('cold', name, question),
        worlds.warm.answers('warm', name, question),
        worlds.flying.answers('in flight', name, question),
      ])
      const found = Object.fromEntries(Object.entries(cold).map(([caller, { status }]) => [caller, status]))
      expect(found).toEqual(statuses)
      expect(warm).toEqual(cold)
      expect(inFlight).toEqual(cold)
    },
  )

  it('F84: a stored blob by the path of another repository: shown where upstream confirms by HEAD that it is there', async () => {
    const { insider, outsider, upstream, ground } = worlds.warm
    const [stored] = worlds.warm.add('stored').layers
    const digest = stored?.digest ?? ''
    await insider.blob('stored/owner', digest)
    await ground.keeps(digest)
    upstream.forget()
    for (const method of ['GET', 'HEAD']) {
      expect((await insider.blob('stored/other', digest, { method })).status).toBe(404)
      expect((await insider.blob('stored/nobody', digest, { method })).status).toBe(404)
      expect((await outsider.blob('stored/owner', digest, { method })).status).toBe(403)
    }
    expect(digestOfBytes((await insider.blob('stored/sharer', digest)).body)).toBe(digest)
    expect(upstream.requests('GET', 'blob')).toEqual([])
  })

  it('F85: a transfer in flight: who may not have it is told so while it stands still, and joins nothing', async () => {
    const { insider, outsider, upstream } = worlds.flying
    const [flying] = worlds.flying.add('joined').layers
    const digest = flying?.digest ?? ''
    const { promise, resolve: goOn } = Promise.withResolvers<void>()
    upstream.fault('blob', {
      pauseAfter: MiB,
      resume: promise,
      method: 'GET',
      when: (seen) => seen.reference === digest,
    })
    const leading = await insider.openBlob('joined/owner', digest)
    await take(leading, MiB / 2)
    upstream.forget()
    for (const asking of [{}, range, head]) {
      expect(await insider.blob('joined/other', digest, asking).then(({ status }) => status)).toBe(404)
      expect(await outsider.blob('joined/owner', digest, asking).then(({ status }) => status)).toBe(403)
    }
    const joining = insider.blob('joined/sharer', digest)
    goOn()
    expect(digestOfBytes((await joining).body)).toBe(digest)
    expect(upstream.requests('GET', 'blob')).toEqual([])
    leading.destroy()
  })

  it('F86: upstream takes the right away: the tag is refused at its next check', async () => {
    await using tenants = await Tenants.start()
    const { insider, upstream } = tenants
    tenants.add('revoked')
    expect((await insider.manifest('revoked/owner', 'v1')).status).toBe(200)
    upstream.requireBasic('tenant', 'another password')
    expect(told(await insider.manifest('revoked/owner', 'v1'))).toEqual({ status: 403, code: 'DENIED' })
    expect(told(await insider.get('revoked/owner/tags/list'))).toEqual({ status: 403, code: 'DENIED' })
  })
})

describe('names of one upstream', () => {
  it('F87: what a hostile upstream offers is visible under its own prefix alone', async () => {
    await using hostile = await startUpstream()
    await using honest = await startUpstream()
    const rules = [ruleTo('hostile.test', hostile.url), ruleTo('honest.test', honest.url)]
    await using ground = await Ground.start({ rules, config: { defaultUpstream: 'honest.test' } })
    const fake = image({ seed: 'fake' })
    for (const repository of ['library/nginx', 'honest.test/library/nginx']) {
      hostile.addImage(repository, 'latest', fake)
    }
    honest.addImage('library/redis', 'latest', image({ seed: 'redis' }))
    const references = ['latest', fake.digest]
    const elsewhere = [
      '/v2/honest.test/library/nginx',
      '/honest.test/v2/library/nginx',
      '/v2/library/nginx',
      '/v2/nginx',
    ]
    const statusesElsewhere = async () => {
      const statuses = new Set<number>()
      for (const path of elsewhere) {
        for (const reference of references) statuses.add((await ground.get(`${path}/manifests/${reference}`)).status)
        statuses.add((await ground.get(`${path}/blobs/${fake.layers[0]?.digest}`)).status)
        statuses.add((await ground.get(`${path}/tags/list`)).status)
      }
      statuses.add((await ground.get('/v2/library/nginx/manifests/latest?ns=honest.test')).status)
      return [...statuses]
    }
    expect(await statusesElsewhere()).toEqual([404])
    expect(hostile.requests()).toEqual([])

    for (const reference of references) {
      const got = await ground.at('hostile.test').manifest('library/nginx', reference)
      expect(digestOfBytes(got.body)).toBe(fake.digest)
    }
    for (const { digest } of fake.layers) await ground.at('hostile.test').blob('library/nginx', digest)
    expect((await ground.at('hostile.test').manifest('honest.test/library/nginx', 'latest')).status).toBe(200)
    hostile.forget()
    expect(await statusesElsewhere()).toEqual([404])
    await honest.goDown()
    expect(await statusesElsewhere()).not.toContain(200)
    expect(hostile.requests()).toEqual([])
  })
})
