import { describe, expect, it } from 'vitest'
import { unavailable as unreadable } from '../../src/oci/errors.ts'
import type { ForwardProxy as Named } from '../../src/rules/rule.ts'
import { selfSigned } from '../support/faulty-certificate.ts'
import { digestOfBody, TestCredentials, type TestUpstreamOptions, upstreamTo } from '../support/faulty-rule.ts'
import { type FaultyUpstream, image, randomBlob, startUpstream } from '../support/faulty-upstream.ts'
import { ForwardProxy, type ForwardProxySettings } from '../support/forward-proxy.ts'

const repository = 'library/nginx'
const tag = { repository, tag: 'latest' }
const account = { username: 'someone', password: 'canary:of a proxy' }
const unavailable = { kind: 'unavailable' }

/** Names that nobody but the proxy knows. */
const names = { registry: 'registry.test', tokens: 'tokens.test', cdn: 'cdn.test' }

type Settings = ForwardProxySettings & { scheme?: 'http' | 'https' }

/** A registry with its token server and its storage at hosts of their own, and a proxy that alone leads there. */
async function start({ scheme = 'https', ...settings }: Settings = {}) {
  await using starting = new AsyncDisposableStack()
  const pairs = Object.values(names).map((name) => selfSigned({ name }))
  const ca = [...pairs, settings.tls].map((pair) => pair?.cert ?? '').join('')
  const [registry, tokens, cdn] = await Promise.all(
    Object.values(names).map(async (name, index) => {
      const tls = scheme === 'https' ? pairs[index] : undefined
      return starting.use(await startUpstream({ name, ...(tls && { tls }) }))
    }),
  )
  if (!registry || !tokens || !cdn) throw new Error('unreachable')
  const proxy = starting.use(await ForwardProxy.start(settings))
  const parts = starting.move()
  const to = ({ changes, ...options }: TestUpstreamOptions = {}, named: Partial<Named> | 'none' = {}) => {
    const way = named === 'none' ? named : { url: proxy.url, ...named }
    const hosts = { realmHosts: [tokens.url], redirectHosts: [cdn.url] }
    return upstreamTo(registry.url, { ...options, changes: { ca, proxy: way, ...hosts, ...changes } })
  }
  return { registry, tokens, cdn, proxy, ca, to, [Symbol.asyncDispose]: () => parts.disposeAsync() }
}

/** What a proxy is asked so that a host is reached. */
const leads = (method: string, { url, host }: FaultyUpstream, path = '') =>
  url.startsWith('https') ? `CONNECT ${host}` : `${method} ${url}${path}`

const shownToProxies = (...upstreams: FaultyUpstream[]) =>
  upstreams.flatMap((upstream) => upstream.requests()).filter(({ headers }) => 'proxy-authorization' in headers)

describe('the proxy of a rule', () => {
  it.each(['http', 'https'] as const)(
    'leads to an upstream by %s, its token server and its redirects',
    async (scheme) => {
      await using started = await start({ scheme, account })
      const { registry, tokens, cdn, proxy, to } = started
      const nginx = registry.addImage(repository, 'latest', image())
      const blob = registry.addBlob(repository, randomBlob(300_000))
      const users = { user: 'password' }
      tokens.requireToken({ users })
      registry.requireToken({ users }, tokens)
      registry.signBlobUrls(cdn)
      const proxyCredentials = new TestCredentials(account.username, account.password)
      const credentials = new TestCredentials('user', 'password')
      await using upstream = to({ credentials, proxyCredentials })

      expect((await upstream.manifest(tag)).descriptor).toEqual(nginx.descriptor)
      expect(await digestOfBody((await upstream.blob(repository, blob.digest)).body)).toBe(blob.digest)

      const asked = [registry, tokens, cdn].map(({ host }) => proxy.asked.filter((line) => line.includes(host)).length)
      expect(Math.min(...asked)).toBeGreaterThan(0)
      expect(proxy.asked[0]).toBe(leads('GET', registry, `/v2/${repository}/manifests/latest`))
      expect(shownToProxies(registry, tokens, cdn)).toEqual([])
    },
  )

  it.each([
    ['http', '127.0.0.1', selfSigned()],
    ['https', '127.0.0.1', selfSigned()],
    ['http', 'localhost', selfSigned({ name: 'localhost' })],
    ['https', 'localhost', selfSigned({ name: 'localhost' })],
  ] as const)('may speak TLS itself, for %s, at %s, by an authority that the rule names', async (scheme, host, tls) => {
    await using started = await start({ scheme, tls })
    const { registry, proxy, to } = started
    const nginx = registry.addImage(repository, 'latest', image())
    const named = { url: `https://${host}:${proxy.port}` }
    await using upstream = to({}, named)
    expect((await upstream.resolve(tag)).descriptor).toEqual(nginx.descriptor)
    expect(proxy.asked).toEqual([leads('HEAD', registry, `/v2/${repository}/manifests/latest`)])
    await using stranger = to({ changes: { ca: selfSigned().cert } }, named)
    await expect(stranger.resolve(tag)).rejects.toMatchObject(unavailable)
    expect(proxy.asked).toHaveLength(1)
  })

  it('counts, and not what the environment says', async () => {
    await using started = await start()
    const { registry, proxy, to } = started
    registry.addImage(repository, 'latest', image())
    await using usual = await ForwardProxy.start()
    await using upstream = to({ proxy: { httpsProxy: usual.url, noProxy: '*' } })
    await upstream.resolve(tag)
    expect(proxy.asked).toHaveLength(1)
    expect(usual.asked).toEqual([])
  })

  it('can be none, where the environment has one', async () => {
    await using usual = await ForwardProxy.start()
    await using remote = await startUpstream()
    remote.addImage(repository, 'latest', image())
    const proxy = { httpProxy: usual.url }
    await using through = upstreamTo(remote.url, { proxy })
    await through.resolve(tag)
    expect(usual.asked).toHaveLength(1)
    await using direct = upstreamTo(remote.url, { proxy, changes: { proxy: 'none' } })
    await direct.resolve(tag)
    expect(usual.asked).toHaveLength(1)
  })

  it.each(['http', 'https'] as const)('is shown a password that was changed, without a start (%s)', async (scheme) => {
    await using started = await start({ scheme, account })
    const { registry, proxy, to } = started
    registry.addImage(repository, 'latest', image())
    const blob = registry.addBlob(repository, randomBlob(300_000))
    const resume = Promise.withResolvers<void>()
    registry.fault('blob', { pauseAfter: 100_000, resume: resume.promise })
    const proxyCredentials = new TestCredentials(account.username, account.password)
    await using upstream = to({ proxyCredentials })
    const { body } = await upstream.blob(repository, blob.digest)

    proxy.account = { ...account, password: 'another' }
    const message = `the proxy does not lead to ${registry.host} (407)`
    await expect(upstream.resolve(tag)).rejects.toMatchObject({ ...unavailable, message })
    proxyCredentials.current = proxy.account
    await upstream.resolve(tag)

    resume.resolve()
    expect(await digestOfBody(body)).toBe(blob.digest)
  })

  it.each(['http', 'https'] as const)(
    'is not asked for private addresses that an upstream names (%s)',
    async (scheme) => {
      await using started = await start({ scheme })
      const { registry, proxy, ca } = started
      registry.addImage(repository, 'latest', image())
      await using upstream = upstreamTo(registry.url, { changes: { ca, proxy: { url: proxy.url } } })
      for (const host of ['169.254.169.254', '127.0.0.1:1', '[::1]', '[::ffff:10.0.0.1]']) {
        registry.fault('manifest', { redirect: `${scheme}://${host}/x`, times: 1 })
        await expect(upstream.manifest(tag)).rejects.toMatchObject({
          ...unavailable,
          message: expect.stringContaining('not public'),
        })
      }
      registry.fault('manifest', { redirect: `${scheme}://elsewhere.test:1/x` })
      await expect(upstream.manifest(tag)).rejects.toMatchObject(unavailable)
      const elsewhere = proxy.asked.filter((line) => !line.includes(registry.host))
      expect(new Set(elsewhere.map((line) => line.includes('elsewhere.test:1')))).toEqual(new Set([true]))
    },
  )

  it('that does not answer, refuses or is gone is an upstream that cannot be reached', async () => {
    await using started = await start()
    const { registry, proxy, to } = started
    registry.addImage(repository, 'latest', image())
    await using upstream = to({ timeouts: { connectMs: 300, headersMs: 5000, idleMs: 5000 } })
    proxy.misbehaviour = 'silent'
    await expect(upstream.resolve(tag)).rejects.toMatchObject({ ...unavailable, timedOut: true })
    await expect.poll(() => proxy.open).toBe(0)
    for (const status of [403, 502, 503]) {
      proxy.misbehaviour = status
      const message = `the proxy does not lead to ${registry.host} (${status})`
      await expect(upstream.resolve(tag)).rejects.toMatchObject({ ...unavailable, message })
    }
    await expect.poll(() => proxy.open).toBe(0)
    proxy.misbehaviour = undefined
    await upstream.resolve(tag)
    await proxy[Symbol.asyncDispose]()
    await expect(upstream.resolve(tag)).rejects.toMatchObject(unavailable)
  })

  it('is not asked for anything while its credential cannot be read', async () => {
    await using started = await start({ account })
    const { proxy, to } = started
    const proxyCredentials = new TestCredentials(account.username, account.password)
    proxyCredentials.get = async () => {
      throw unreadable('a credential file cannot be read')
    }
    await using upstream = to({ proxyCredentials })
    await expect(upstream.resolve(tag)).rejects.toMatchObject(unavailable)
    expect(proxy.asked).toEqual([])
  })
})
