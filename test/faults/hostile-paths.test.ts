import { readdir } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { image, randomBlob } from '../support/faulty-upstream.ts'
import { Canary } from './canary.ts'
import { Ground } from './ground.ts'
import { Names } from './names.ts'
import { toldRaw, Wire } from './wire.ts'

const repository = 'team/app'
const nameInvalid = { status: 400, code: 'NAME_INVALID' }
const nameUnknown = { status: 404, code: 'NAME_UNKNOWN' }

const resources = new AsyncDisposableStack()
let ground: Ground
let canary: Canary
let wire: Wire

beforeAll(async () => {
  canary = resources.use(await Canary.start())
  const names = resources.use(await Names.start())
  names.add('canary.test', '127.0.0.1')
  ground = resources.use(await Ground.start({ sites: 4, env: names.env }))
  wire = new Wire(ground.cistern.url)
})

afterAll(() => resources.disposeAsync())

/** All that Cistern keeps, by name. */
const onDisk = async () =>
  (await readdir(ground.cistern.directory, { recursive: true })).filter((name) => !/-(wal|shm)$/.test(name)).sort()

describe('paths', () => {
  it('E70: names that try to leave their place: 400, nothing touched, nobody asked', async () => {
    const site = ground.site()
    const before = await onDisk()
    const evil = [
      '..%2f..%2fx',
      '%2e%2e/x',
      '..',
      '../../etc',
      'a/../b',
      'a//b',
      '/a',
      'a\\b',
      '..\\..\\x',
      'a%00',
      'a%0d%0aSet-Cookie:x',
      '%41',
      'Team/App',
      'team/aPp',
      'team/-app',
      'team/app_',
      'te.-am',
      `${'a'.repeat(250)}/${'b'.repeat(50)}`,
      `a${'/a'.repeat(200)}`,
    ]
    for (const name of evil) {
      for (const rest of ['manifests/v1', `blobs/${randomBlob(1).digest}`, 'tags/list']) {
        const target = `/v2/${site.prefix}/${name}/${rest}`
        expect([target, toldRaw(await wire.get(target))]).toEqual([target, nameInvalid])
      }
    }
    expect(site.upstream.requests()).toEqual([])
    expect(await onDisk()).toEqual(before)
  })

  it('E71: digests and tags that are none: 400 or 404, and nobody is asked', async () => {
    const { upstream, prefix } = ground.site()
    const of = `/v2/${prefix}/${repository}`
    const hex = 'a'.repeat(64)
    const digests = [
      `sha256:${hex.slice(1)}`,
      `sha256:${hex}a`,
      `sha256:${hex.toUpperCase()}`,
      'sha256:baddigeststring',
      `sha1:${hex}`,
      'sha256:',
      ':',
      `sha256:${hex.slice(2)}..`,
    ]
    for (const digest of digests) {
      for (const noun of ['blobs', 'manifests', 'referrers']) {
        const got = await wire.get(`${of}/${noun}/${digest}`)
        expect([digest, noun, toldRaw(got)]).toEqual([digest, noun, { status: 400, code: 'DIGEST_INVALID' }])
      }
    }
    expect(toldRaw(await wire.get(`${of}/blobs/sha256-${hex}`))).toEqual({ status: 400, code: 'DIGEST_INVALID' })
    for (const tag of ['a'.repeat(129), '.a', '-a', 'a~b', 'a@b']) {
      expect([tag, toldRaw(await wire.get(`${of}/manifests/${tag}`))]).toEqual([
        tag,
        { status: 404, code: 'MANIFEST_UNKNOWN' },
      ])
    }
    expect(upstream.requests()).toEqual([])
  })

  it('E72: a path that is written otherwise than it is meant: 400 before it is routed', async () => {
    const site = ground.site()
    site.upstream.addImage(repository, 'v1', image())
    const of = `${site.prefix}/${repository}/manifests/v1`
    const spellings = [
      `//v2/${of}`,
      `/v2//${of}`,
      `/./v2/${of}`,
      `/v2/./${of}`,
      `/x/../v2/${of}`,
      `/v2/${of}/.`,
      `/v2/${of}/..`,
      `/v%32/${of}`,
      `/v2/${of}%20`,
      `/v2\\${of}`,
      `/v2/${of}#x`,
    ]
    for (const target of [...spellings, '/..', '/v2/..', '*', 'v2/'])
      expect([target, (await wire.get(target)).status]).toEqual([target, 400])
    for (const target of spellings) expect([target, toldRaw(await wire.get(target))]).toEqual([target, nameInvalid])
    expect(site.upstream.requests()).toEqual([])
  })

  it('E73: a namespace is looked up among ours, and never dialled', async () => {
    const site = ground.site()
    const { digest } = site.upstream.addImage(repository, 'v1', image())
    const of = `/v2/${repository}/manifests/v1`
    const found = await wire.get(`${of}?ns=${site.prefix}`)
    expect(found).toMatchObject({ status: 200, complete: true })
    expect(found.headers.get('docker-content-digest')).toBe(digest)
    expect(found.headers.get('oci-namespace')).toBe(site.prefix)
    const where = `127.0.0.1:${canary.port}`
    const spaces = [
      where,
      `canary.test:${canary.port}`,
      'example.com',
      '169.254.169.254',
      '',
      `user@${where}`,
      `${where}/x`,
      `http://${where}`,
      '[::1]',
      'a b',
      `${site.prefix}&ns=${site.prefix}`,
      `${site.prefix}%00`,
    ]
    for (const ns of spaces) {
      const got = await wire.get(`${of}?ns=${ns.replace(' ', '+')}`)
      expect([ns, toldRaw(got)]).toEqual([ns, nameUnknown])
    }
    for (const name of [where.replace(':', '.'), `canary.test/${repository}`, `localhost/${repository}`])
      expect(toldRaw(await wire.get(`/v2/${name}/manifests/v1`))).toEqual(nameUnknown)
    expect(canary.connections).toBe(0)
  })
})
