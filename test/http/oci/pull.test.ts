import { describe, expect, it } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { startFace } from '../../support/face.ts'

const repository = 'docker.io/library/nginx'
const path = '/v2/docker.io/library/nginx'
const bytes = Buffer.from(Array.from({ length: 1000 }, (_, at) => at % 251))

const bodyOf = async (response: Response) => Buffer.from(await response.arrayBuffer())

describe('manifests', () => {
  it('arrive byte for byte with all that clients check', async () => {
    await using face = await startFace()
    const text = '{ "schemaVersion":2,\n  "layers": [] }'
    const digest = face.registry.addManifest(repository, 'latest', text)
    for (const reference of ['latest', digest]) {
      const response = await face.get(`${path}/manifests/${reference}`)
      expect(response.status).toBe(200)
      expect(await response.text()).toBe(text)
      expect(Object.fromEntries(response.headers)).toMatchObject({
        'content-type': 'application/vnd.oci.image.manifest.v1+json',
        'content-length': String(text.length),
        'docker-content-digest': digest,
        etag: `"${digest}"`,
        'docker-distribution-api-version': 'registry/2.0',
        'x-content-type-options': 'nosniff',
      })
    }
  })

  it('D65, M4: HEAD resolves and fetches no manifest', async () => {
    await using face = await startFace()
    const digest = face.registry.addManifest(repository, 'latest', '{}')
    const response = await face.get(`${path}/manifests/latest`, {}, 'HEAD')
    expect(response.status).toBe(200)
    expect(response.headers.get('content-length')).toBe('2')
    expect(response.headers.get('docker-content-digest')).toBe(digest)
    expect(face.registry.asked).toEqual([`resolve ${repository} latest`])
  })

  it('D66, D67: what is stored is served, whatever Accept and Accept-Encoding say', async () => {
    await using face = await startFace()
    face.registry.addManifest(repository, 'latest', '{"layers":[]}')
    const response = await face.get(`${path}/manifests/latest`, {
      accept: 'application/vnd.docker.distribution.manifest.v2+json',
      'accept-encoding': 'gzip, zstd',
    })
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('application/vnd.oci.image.manifest.v1+json')
    expect(response.headers.get('content-encoding')).toBeNull()
    expect(await response.text()).toBe('{"layers":[]}')
  })

  it('D64: a digest that the client has is 304', async () => {
    await using face = await startFace()
    const digest = face.registry.addManifest(repository, 'latest', '{}')
    for (const held of [`"${digest}"`, `W/"${digest}"`, `"x", "${digest}"`, '*']) {
      const response = await face.get(`${path}/manifests/latest`, { 'if-none-match': held })
      expect(response.status).toBe(304)
      expect(response.headers.get('etag')).toBe(`"${digest}"`)
      expect(await response.text()).toBe('')
    }
    expect((await face.get(`${path}/manifests/latest`, { 'if-none-match': '"other"' })).status).toBe(200)
  })

  it('ignores a Range', async () => {
    await using face = await startFace()
    face.registry.addManifest(repository, 'latest', '{"layers":[]}')
    const response = await face.get(`${path}/manifests/latest`, { range: 'bytes=0-1' })
    expect(response.status).toBe(200)
    expect(await response.text()).toBe('{"layers":[]}')
  })
})

describe('blobs', () => {
  it('D62: one range is served as asked, nonsense as the whole', async () => {
    await using face = await startFace()
    const digest = face.registry.addBlob(repository, bytes)
    const cases: [range: string, status: number, contentRange: string | null, body: Buffer][] = [
      ['bytes=10-19', 206, 'bytes 10-19/1000', bytes.subarray(10, 20)],
      ['bytes=990-', 206, 'bytes 990-999/1000', bytes.subarray(990)],
      ['bytes=-10', 206, 'bytes 990-999/1000', bytes.subarray(990)],
      ['bytes=990-5000', 206, 'bytes 990-999/1000', bytes.subarray(990)],
      ['bytes=0-1,5-6', 200, null, bytes],
      ['bites=0-1', 200, null, bytes],
    ]
    for (const [range, status, contentRange, body] of cases) {
      const response = await face.get(`${path}/blobs/${digest}`, { range })
      expect([range, response.status]).toEqual([range, status])
      expect(response.headers.get('content-range')).toBe(contentRange)
      expect(response.headers.get('content-length')).toBe(String(body.length))
      expect(await bodyOf(response)).toEqual(body)
    }
    for (const range of ['bytes=500-0', 'bytes=1000-', 'bytes=-0']) {
      const response = await face.get(`${path}/blobs/${digest}`, { range })
      expect([range, response.status]).toEqual([range, 416])
      expect(response.headers.get('content-range')).toBe('bytes */1000')
      expect(await response.json()).toMatchObject({ errors: [{ code: 'RANGE_INVALID' }] })
    }
    expect(face.registry.open).toBe(0)
  })

  it('D64: If-Range counts only with the very digest', async () => {
    await using face = await startFace()
    const digest = face.registry.addBlob(repository, bytes)
    const status = async (ifRange: string) =>
      (await face.get(`${path}/blobs/${digest}`, { range: 'bytes=0-1', 'if-range': ifRange })).status
    expect(await status(`"${digest}"`)).toBe(206)
    expect(await status(`W/"${digest}"`)).toBe(200)
    expect(await status('"other"')).toBe(200)
    expect(await status('Wed, 21 Oct 2015 07:28:00 GMT')).toBe(200)
  })

  it('D64: 304 tells only of blobs that are there', async () => {
    await using face = await startFace()
    const digest = face.registry.addBlob(repository, bytes)
    const unknown = digestOf(Buffer.from('unknown'))
    expect((await face.get(`${path}/blobs/${digest}`, { 'if-none-match': `"${digest}"` })).status).toBe(304)
    expect((await face.get(`${path}/blobs/${unknown}`, { 'if-none-match': `"${unknown}"` })).status).toBe(404)
    expect(face.registry.asked).toEqual([`stat ${repository} ${digest}`, `stat ${repository} ${unknown}`])
  })

  it('D65, M4: HEAD opens nothing', async () => {
    await using face = await startFace()
    const digest = face.registry.addBlob(repository, bytes)
    const response = await face.get(`${path}/blobs/${digest}`, { range: 'bytes=0-1' }, 'HEAD')
    expect(response.status).toBe(200)
    expect(response.headers.get('content-length')).toBe('1000')
    expect(response.headers.get('accept-ranges')).toBe('bytes')
    expect(face.registry.asked).toEqual([`stat ${repository} ${digest}`])
  })

  it('B43: the empty blob is a blob', async () => {
    await using face = await startFace()
    const digest = face.registry.addBlob(repository, Buffer.alloc(0))
    const response = await face.get(`${path}/blobs/${digest}`)
    expect(response.status).toBe(200)
    expect(response.headers.get('content-length')).toBe('0')
    expect(face.registry.open).toBe(0)
  })

  it('E81: are never anything a browser would run', async () => {
    await using face = await startFace()
    const digest = face.registry.addBlob(repository, Buffer.from('<script>'))
    const response = await face.get(`${path}/blobs/${digest}`)
    expect(response.headers.get('content-type')).toBe('application/octet-stream')
    expect(response.headers.get('x-content-type-options')).toBe('nosniff')
  })
})

describe('every answer', () => {
  it('says how the cache took part', async () => {
    await using face = await startFace()
    face.registry.addManifest(repository, 'latest', '{}')
    const ask = async () => {
      const { headers } = await face.get(`${path}/manifests/latest`)
      return [headers.get('cache-status'), headers.get('warning')]
    }
    expect(await ask()).toEqual([null, null])
    face.registry.outcome = { cache: 'hit', ttlMs: 5999 }
    expect(await ask()).toEqual(['cistern; hit; ttl=5', null])
    face.registry.outcome = { cache: 'stale', ttlMs: -1500, reason: 'throttled' }
    expect(await ask()).toEqual(['cistern; hit; ttl=-2; detail=throttled', '299 cistern "stale: upstream throttled"'])
    face.registry.outcome = { cache: 'revalidated', ttlMs: 1000 }
    expect(await ask()).toEqual(['cistern; fwd=stale; ttl=1; detail=revalidated', null])
    face.registry.outcome = { cache: 'miss' }
    expect(await ask()).toEqual(['cistern; fwd=uri-miss', null])
    face.registry.outcome = { cache: 'collapsed' }
    expect(await ask()).toEqual(['cistern; fwd=uri-miss; collapsed', null])
    expect(face.requests.map(({ outcome }) => outcome?.cache)).toContain('stale')
  })

  it('echoes the namespace that was asked for, in errors too', async () => {
    await using face = await startFace()
    face.registry.addManifest(repository, 'latest', '{}')
    const namespace = async (target: string) => (await face.get(target)).headers.get('oci-namespace')
    expect(await namespace('/v2/library/nginx/manifests/latest?ns=docker.io')).toBe('docker.io')
    expect(await namespace('/v2/library/nginx/manifests/gone?ns=docker.io')).toBe('docker.io')
    expect(await namespace(`${path}/manifests/latest`)).toBeNull()
  })

  it('is announced once, by canonical name', async () => {
    await using face = await startFace()
    face.registry.addManifest(repository, 'latest', '{}')
    await (await face.get('/v2/nginx/manifests/latest?ns=docker.io', { 'user-agent': 'test/1' })).text()
    await expect.poll(() => face.requests).toHaveLength(1)
    expect(face.requests[0]).toMatchObject({
      method: 'GET',
      route: 'manifest',
      repository,
      reference: 'latest',
      upstream: 'registry-1.docker.io',
      status: 200,
      bytes: 2,
      aborted: false,
      client: '127.0.0.1',
      userAgent: 'test/1',
    })
  })

  it('C56: is the same with and without credentials', async () => {
    await using face = await startFace()
    face.registry.addManifest(repository, 'latest', '{}')
    const response = await face.get(`${path}/manifests/latest`, { authorization: 'Basic Y2FuYXJ5OnNlY3JldA==' })
    expect(response.status).toBe(200)
    expect(JSON.stringify([...response.headers, face.requests])).not.toContain('Y2FuYXJ5')
  })

  it('keeps repositories that a rule denies apart before anything is asked', async () => {
    await using face = await startFace()
    face.registry.addManifest('quay.io/secret/app', 'latest', '{}')
    const response = await face.get('/v2/quay.io/secret/app/manifests/latest')
    expect(response.status).toBe(404)
    expect(await response.json()).toMatchObject({ errors: [{ code: 'NAME_UNKNOWN' }] })
    expect(face.registry.asked).toEqual([])
  })

  it('answers the ping in every spelling', async () => {
    await using face = await startFace()
    for (const target of ['/v2', '/v2/', '/docker.io/v2/', '/docker.io/v2']) {
      const response = await face.get(target)
      expect([target, response.status, await response.text()]).toEqual([target, 200, '{}'])
    }
  })
})
