import { describe, expect, it } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { startFace } from '../../support/face.ts'

const linkOf = (response: Response) => /^<([^>]*)>; rel="next"$/.exec(response.headers.get('link') ?? '')?.[1]

describe('tags/list', () => {
  const withTags = async (...tags: string[]) => {
    const face = await startFace()
    for (const tag of tags) face.registry.addManifest('docker.io/library/nginx', tag, '{}')
    return face
  }

  it.each([
    ['/v2/nginx/tags/list?ns=docker.io&n=2', 'nginx'],
    ['/v2/docker.io/library/nginx/tags/list?n=2', 'docker.io/library/nginx'],
    ['/docker.io/v2/library/nginx/tags/list?n=2', 'library/nginx'],
    ['/v2/library/nginx/tags/list?n=2', 'library/nginx'],
  ])('E74: %s is walked by links in its own shape', async (first, name) => {
    await using face = await withTags('a', 'b', 'c', 'd', 'e')
    const pages: unknown[] = []
    for (let next: string | undefined = first; next !== undefined; ) {
      expect(next.split('?')[0]).toBe(first.split('?')[0])
      expect(next.includes('ns=docker.io')).toBe(first.includes('ns=docker.io'))
      const response: Response = await face.get(next, { 'x-forwarded-host': 'evil.example' })
      pages.push(await response.json())
      next = linkOf(response)
    }
    expect(pages).toEqual([
      { name, tags: ['a', 'b'] },
      { name, tags: ['c', 'd'] },
      { name, tags: ['e'] },
    ])
  })

  it('B45: n=0 is empty, a huge n is served as the most, nonsense is refused', async () => {
    await using face = await withTags('a', 'b')
    const list = '/v2/docker.io/library/nginx/tags/list'
    const none = await face.get(`${list}?n=0`)
    expect(await none.json()).toMatchObject({ tags: [] })
    expect(none.headers.get('link')).toBeNull()
    expect(await (await face.get(`${list}?n=99999999999`)).json()).toMatchObject({ tags: ['a', 'b'] })
    expect(face.registry.asked.at(-1)).toBe('tags docker.io/library/nginx 10000 ')
    for (const n of ['-1', 'x', '1.5', '']) {
      const response = await face.get(`${list}?n=${n}`)
      expect([n, response.status]).toEqual([n, 400])
      expect(await response.json()).toMatchObject({ errors: [{ code: 'UNSUPPORTED' }] })
    }
  })

  it('HEAD states the length and sends nothing', async () => {
    await using face = await withTags('a')
    const whole = await (await face.get('/v2/nginx/tags/list')).text()
    const response = await face.get('/v2/nginx/tags/list', {}, 'HEAD')
    expect(response.headers.get('content-length')).toBe(String(whole.length))
  })
})

describe('_catalog', () => {
  const cached = ['docker.io/library/alpine', 'docker.io/library/nginx', 'docker.io/x/y', 'quay.io/a/b']

  it('lists what is cached, by pages', async () => {
    await using face = await startFace({ cached })
    const first = await face.get('/v2/_catalog?n=3')
    expect(await first.json()).toEqual({ repositories: cached.slice(0, 3) })
    const second = await face.get(linkOf(first) ?? '')
    expect(await second.json()).toEqual({ repositories: cached.slice(3) })
    expect(linkOf(second)).toBeUndefined()
  })

  it('lists below a prefix by the names used there', async () => {
    await using face = await startFace({ cached })
    for (const target of ['/docker.io/v2/_catalog?n=2', '/v2/_catalog?n=2&ns=docker.io']) {
      const first = await face.get(target)
      expect(await first.json()).toEqual({ repositories: ['library/alpine', 'library/nginx'] })
      expect(await (await face.get(linkOf(first) ?? '')).json()).toEqual({ repositories: ['x/y'] })
    }
    expect((await face.get('/v2/_catalog?ns=evil.example')).status).toBe(404)
  })

  it('E77: takes no n beyond the most', async () => {
    await using face = await startFace({ cached })
    expect(await (await face.get('/v2/_catalog?n=1000000000')).json()).toEqual({ repositories: cached })
    expect((await face.get('/v2/_catalog?n=1e9')).status).toBe(400)
  })
})

describe('referrers', () => {
  const subject = digestOf(Buffer.from('subject'))
  const referrer = (artifactType: string) => ({
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: digestOf(Buffer.from(artifactType)),
    size: 3,
    artifactType,
  })

  it('B44: come as an index, filtered where asked', async () => {
    await using face = await startFace()
    const [sbom, signature] = [referrer('application/sbom+json'), referrer('application/signature')]
    face.registry.addReferrers('docker.io/library/nginx', subject, [sbom, signature])
    const all = await face.get(`/v2/nginx/referrers/${subject}`)
    expect(all.headers.get('content-type')).toBe('application/vnd.oci.image.index.v1+json')
    expect(all.headers.get('oci-filters-applied')).toBeNull()
    expect(await all.json()).toEqual({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [sbom, signature],
    })
    const filtered = await face.get(`/v2/nginx/referrers/${subject}?artifactType=application%2Fsbom%2Bjson`)
    expect(filtered.headers.get('oci-filters-applied')).toBe('artifactType')
    expect(await filtered.json()).toMatchObject({ manifests: [sbom] })
  })

  it('B44: 404 passes, so that clients go by the tag schema', async () => {
    await using face = await startFace()
    expect((await face.get(`/v2/nginx/referrers/${subject}`)).status).toBe(404)
  })
})
