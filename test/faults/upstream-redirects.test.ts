import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { selfSigned } from '../support/faulty-certificate.ts'
import { type FaultyUpstream, image, randomBlob, type Seen, startUpstream } from '../support/faulty-upstream.ts'
import { Canary } from './canary.ts'
import { digestOfBytes, told } from './client.ts'
import { Ground, ruleTo } from './ground.ts'
import { Names } from './names.ts'
import { Scratch } from './scratch.ts'

const repository = 'team/app'
const unavailable = { status: 502, code: 'UNAVAILABLE' }

const resources = new AsyncDisposableStack()
let ground: Ground
let canary: Canary
let names: Names
let secured: FaultyUpstream
let inward: FaultyUpstream
let guarded: FaultyUpstream
let cdn: FaultyUpstream

beforeAll(async () => {
  canary = resources.use(await Canary.start())
  const tls = selfSigned()
  const file = await resources.use(await Scratch.start()).write('upstream.pem', tls.cert)
  secured = resources.use(await startUpstream({ tls }))
  inward = resources.use(await startUpstream())
  guarded = resources.use(await startUpstream())
  cdn = resources.use(await startUpstream())
  names = resources.use(await Names.start())
  names.add('metadata.test', '169.254.169.254')
  names.add('inner.test', '127.0.0.1')
  names.add('mapped.test', '::ffff:127.0.0.1')
  names.add('localhost', '127.0.0.1')
  names.add('inner.localhost', '127.0.0.1')
  guarded.requireBasic('user', 'secret')
  const credential = { username: 'user', password: 'secret' }
  ground = resources.use(
    await Ground.start({
      sites: 8,
      env: names.env,
      rules: [
        ruleTo('secured.test', secured.url, { ca: file, redirectHosts: [`http://127.0.0.1:${canary.port}`] }),
        ruleTo('inward.test', inward.url),
        ruleTo('guarded.test', guarded.url, { credential, redirectHosts: [cdn.url] }),
      ],
    }),
  )
})

afterAll(() => resources.disposeAsync())

describe.concurrent('redirects', () => {
  it.each([
    ['to itself', () => ({ redirect: ({ path }: Seen) => path })],
    ['without end', (upstream: FaultyUpstream) => ({ redirect: () => `${upstream.url}/signed/${Math.random()}` })],
    ['nowhere', () => ({ status: 307, headers: {} })],
    ['to what is no URL', () => ({ redirect: 'http://[' })],
    ['to another protocol', () => ({ redirect: 'file:///etc/passwd' })],
    ['with a credential in the URL', () => ({ redirect: 'http://user:secret@inner.test/' })],
  ])('A20: %s: 502 after a few hops', async (how, faultOf) => {
    const site = ground.site()
    const blob = site.upstream.addBlob(repository, randomBlob(1000, `A20 ${how}`))
    site.upstream.fault('*', faultOf(site.upstream))
    expect(told(await site.blob(repository, blob.digest))).toEqual(unavailable)
    expect(site.upstream.requests().length).toBeLessThan(10)
  })

  it('A21: from https to http, even to a listed host: 502, and nobody goes there', async () => {
    const blob = secured.addBlob(repository, randomBlob(1000, 'A21'))
    secured.fault('blob', { redirect: `http://127.0.0.1:${canary.port}/blob` })
    expect(told(await ground.at('secured.test').blob(repository, blob.digest))).toEqual(unavailable)
    expect(secured.requests('GET', 'blob')).toHaveLength(1)
    expect(canary.connections).toBe(0)
  })

  it('A22: to addresses that are not public: 502, and nobody goes there', async () => {
    const blob = inward.addBlob(repository, randomBlob(1000, 'A22'))
    const hosts = [
      '169.254.169.254',
      '10.0.0.1',
      '192.168.1.1',
      '100.64.0.1',
      '0.0.0.0',
      '127.0.0.1',
      '127.1',
      '2130706433',
    ]
    const wrapped = ['[::1]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[64:ff9b::7f00:1]', '[fe80::1]', '[fd00::1]']
    const named = ['localhost', 'inner.localhost', 'inner.test', 'mapped.test', 'metadata.test']
    for (const host of [...hosts, ...wrapped, ...named]) {
      inward.fault('blob', { redirect: `http://${host}:${canary.port}/blob`, times: 1 })
      expect([host, told(await ground.at('inward.test').blob(repository, blob.digest))]).toEqual([host, unavailable])
    }
    expect(canary.connections).toBe(0)
    expect(await ground.at('inward.test').blob(repository, blob.digest)).toMatchObject({ status: 200 })
  })

  it('A22: a page of tags elsewhere is not followed', async () => {
    const site = ground.site()
    const { upstream } = site
    upstream.addImage(repository, 'v1', image())
    upstream.fault('tags', { headers: { link: `<http://127.0.0.1:${canary.port}/next>; rel="next"` } })
    expect((await site.get(`${repository}/tags/list`)).status).toBe(200)
    expect(canary.connections).toBe(0)
  })

  it('A23: to a host that asks for a credential: 502, and it learns nothing', async () => {
    const client = ground.at('guarded.test')
    const blob = cdn.addBlob(repository, guarded.addBlob(repository, randomBlob(1000, 'A23')))
    cdn.requireToken()
    guarded.fault('blob', { redirect: `${cdn.url}/v2/${repository}/blobs/${blob.digest}` })

    const headers = { cookie: 'session=1', 'x-custom': 'custom', authorization: 'Basic client' }
    expect(told(await client.blob(repository, blob.digest, { headers }))).toEqual(unavailable)

    expect(cdn.requests().map(({ kind }) => kind)).toEqual(['blob'])
    const [seen] = cdn.requests()
    expect(Object.keys(seen?.headers ?? {}).sort()).toEqual([
      'accept',
      'accept-encoding',
      'connection',
      'host',
      'user-agent',
    ])
    cdn.requireNothing()
    expect(digestOfBytes((await client.blob(repository, blob.digest)).body)).toBe(blob.digest)
    for (const { headers } of cdn.requests()) expect(headers.authorization).toBeUndefined()
  })
})
