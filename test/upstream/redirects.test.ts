import { describe, expect, it } from 'vitest'
import { selfSigned } from '../support/faulty-certificate.ts'
import { bytesOf, digestOfBody, TestCredentials, upstreamTo } from '../support/faulty-rule.ts'
import { image, randomBlob, startUpstream } from '../support/faulty-upstream.ts'

const repository = 'library/nginx'
const tag = { repository, tag: 'latest' }
const unavailable = { kind: 'unavailable' }

describe('redirects', () => {
  it('A23: to another origin carry no credential, and its challenge is ignored', async () => {
    await using remote = await startUpstream()
    await using cdn = await startUpstream()
    const credentials = new TestCredentials('user', 'canary')
    await using upstream = upstreamTo(remote.url, { credentials, changes: { redirectHosts: [cdn.url] } })
    const blob = remote.addBlob(repository, randomBlob(100_000))
    remote.requireToken({ users: { user: 'canary' } })
    remote.signBlobUrls(cdn)
    expect(await digestOfBody((await upstream.blob(repository, blob.digest)).body)).toBe(blob.digest)
    const [signed] = cdn.requests('GET', 'signed')
    expect(signed?.headers.authorization).toBeUndefined()
    const allowed = ['accept', 'accept-encoding', 'connection', 'host', 'user-agent']
    expect(Object.keys(signed?.headers ?? {}).sort()).toEqual(allowed)
    const challenge = { 'www-authenticate': `Bearer realm="${remote.url}/token",service="x"` }
    cdn.fault('signed', { status: 401, headers: challenge })
    await expect(upstream.blob(repository, blob.digest)).rejects.toMatchObject(unavailable)
    expect(cdn.requests()).toHaveLength(2)
    expect(JSON.stringify(cdn.requests())).not.toContain('canary')
  })

  it('A24: a signed URL that ran out is fetched anew on resume, from the registry', async () => {
    await using remote = await startUpstream()
    await using cdn = await startUpstream()
    await using upstream = upstreamTo(remote.url, { changes: { redirectHosts: [cdn.url] } })
    const blob = remote.addBlob(repository, randomBlob(500_000))
    remote.signBlobUrls(cdn, 1)
    cdn.fault('signed', { times: 1, resetAfter: 100_000 })
    expect(await digestOfBody((await upstream.blob(repository, blob.digest)).body)).toBe(blob.digest)
    const urls = cdn.requests('GET', 'signed').map(({ url }) => url)
    expect(new Set(urls).size).toBe(2)
    expect(remote.requests('GET', 'blob')).toHaveLength(2)
    expect(cdn.requests()[1]?.headers.range).toMatch(/^bytes=\d+-499999$/)
  })

  it('are never remembered, and lead manifests too', async () => {
    await using remote = await startUpstream()
    await using region = await startUpstream()
    await using upstream = upstreamTo(remote.url, { changes: { redirectHosts: [region.url] } })
    const nginx = region.addImage(repository, 'latest', image())
    remote.fault('manifest', { redirect: ({ url }) => `${region.url}${url}` })
    expect((await upstream.manifest(tag)).descriptor).toEqual(nginx.descriptor)
    expect((await upstream.resolve(tag)).descriptor).toEqual(nginx.descriptor)
    expect(remote.requests()).toHaveLength(2)
    await expect(upstream.manifest({ repository, tag: 'no' })).rejects.toMatchObject({ kind: 'unknown' })
  })

  it('a redirected HEAD that its target refuses is repeated as GET', async () => {
    await using remote = await startUpstream()
    await using cdn = await startUpstream()
    await using upstream = upstreamTo(remote.url, { changes: { redirectHosts: [cdn.url] } })
    const blob = remote.addBlob(repository, randomBlob(5000))
    const nginx = cdn.addImage(repository, 'latest', image())
    remote.signBlobUrls(cdn)
    remote.fault('manifest', { redirect: ({ url }) => `${cdn.url}${url}` })
    cdn.fault('*', { method: 'HEAD', status: 403 })
    expect((await upstream.stat(repository, blob.digest)).size).toBe(5000)
    expect((await upstream.resolve(tag)).descriptor).toEqual(nginx.descriptor)
  })

  it.each([
    ['to itself', (url: string) => url],
    ['without end', (url: string) => `${url.split('?')[0]}?${Math.random()}`],
    ['without a Location', () => ''],
    ['to another protocol', () => 'ftp://127.0.0.1/x'],
    ['to a file', () => 'file:///etc/passwd'],
    ['to no URL', () => 'http://[:::'],
    ['with a credential', (url: string) => `http://user:pass@127.0.0.1${url}`],
  ])('A20: %s are refused', async (_, target) => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    remote.fault('*', target('') === '' ? { status: 307, headers: {} } : { redirect: ({ url }) => target(url) })
    await expect(upstream.resolve(tag)).rejects.toMatchObject(unavailable)
    expect(remote.requests().length).toBeLessThanOrEqual(6)
  })

  it('A20: five hops are followed', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    const nginx = remote.addImage(repository, 'latest', image())
    remote.fault('*', { times: 5, redirect: ({ path, url }) => `${path}?${'x'.repeat(url.length)}` })
    expect((await upstream.resolve(tag)).descriptor).toEqual(nginx.descriptor)
    expect(remote.requests()).toHaveLength(6)
  })

  it('A21: from https to http are refused', async () => {
    const tls = selfSigned()
    await using remote = await startUpstream({ tls })
    await using plain = await startUpstream()
    await using upstream = upstreamTo(remote.url, { changes: { ca: tls.cert, redirectHosts: [plain.url] } })
    remote.fault('*', { redirect: ({ url }) => `${plain.url}${url}` })
    await expect(upstream.resolve(tag)).rejects.toMatchObject(unavailable)
    expect(plain.requests()).toHaveLength(0)
  })

  it('A22: to an address that is not public are refused, however it is written', async () => {
    await using remote = await startUpstream()
    await using inside = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    const port = new URL(inside.url).port
    const hosts = ['127.0.0.1', 'localhost', '[::1]', '[::ffff:127.0.0.1]', '0x7f.1', '2130706433', '0.0.0.0']
    const others = ['169.254.169.254', '10.0.0.1', '192.168.1.1', '[fd00::1]', '[64:ff9b::a9fe:a9fe]', '100.64.0.1']
    for (const host of [...hosts, ...others]) {
      remote.fault('*', { times: 1, redirect: `http://${host}:${port}/v2/` })
      const refusal = { ...unavailable, message: expect.stringContaining('an address that is not public') }
      await expect(upstream.resolve(tag), host).rejects.toMatchObject(refusal)
    }
    expect(inside.requests()).toHaveLength(0)
  })

  it('A22: a private address is reached where the rule lists its host, or all may be private', async () => {
    await using remote = await startUpstream()
    await using inside = await startUpstream()
    const nginx = inside.addImage(repository, 'latest', image())
    remote.fault('*', { redirect: ({ url }) => `${inside.url}${url}` })
    for (const options of [{ changes: { redirectHosts: [inside.url] } }, { allowPrivate: true }]) {
      await using upstream = upstreamTo(remote.url, options)
      expect((await upstream.resolve(tag)).descriptor).toEqual(nginx.descriptor)
    }
    await using elsewhere = upstreamTo(remote.url, {
      allowPrivate: true,
      changes: { redirectHosts: ['https://cdn.test'] },
    })
    await expect(elsewhere.resolve(tag)).rejects.toMatchObject(unavailable)
  })

  it('A22: a rule made by the API must lead to a public address itself', async () => {
    await using remote = await startUpstream()
    remote.addImage(repository, 'latest', image())
    for (const origin of [remote.url, remote.url.replace('127.0.0.1', 'localhost')]) {
      await using upstream = upstreamTo(origin, { changes: { source: 'api' } })
      await expect(upstream.resolve(tag)).rejects.toMatchObject(unavailable)
    }
    expect(remote.requests()).toHaveLength(0)
    await using allowed = upstreamTo(remote.url, { allowPrivate: true, changes: { source: 'api' } })
    await allowed.resolve(tag)
  })

  it('B46: URLs inside of manifests are never fetched', async () => {
    await using remote = await startUpstream()
    await using foreign = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    const digest = randomBlob(9).digest
    remote.addImage(repository, 'latest', image())
    const layers = [{ mediaType: 'x/y', digest, size: 9, urls: [`${foreign.url}/layer`] }]
    remote.fault('manifest', {
      body: JSON.stringify({ config: {}, layers }),
      headers: { 'docker-content-digest': null },
    })
    await upstream.manifest(tag)
    await expect(upstream.blob(repository, digest)).rejects.toMatchObject({ kind: 'unknown', code: 'BLOB_UNKNOWN' })
    expect(foreign.requests()).toHaveLength(0)
  })

  it('within the origin keep the credential', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { credentials: new TestCredentials('user', 'canary') })
    const blob = remote.addBlob(repository, randomBlob(1000))
    remote.requireBasic('user', 'canary')
    remote.fault('blob', { times: 1, redirect: ({ path }) => `${path}?again` })
    expect(await bytesOf((await upstream.blob(repository, blob.digest)).body)).toEqual(blob.bytes())
  })
})
