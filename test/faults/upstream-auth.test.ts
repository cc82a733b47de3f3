import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { selfSigned } from '../support/faulty-certificate.ts'
import { type FaultyUpstream, image, randomBlob, startUpstream, type TokenPolicy } from '../support/faulty-upstream.ts'
import { Canary } from './canary.ts'
import { digestOfBytes, take, told } from './client.ts'
import { Ground, ruleTo } from './ground.ts'
import { Scratch } from './scratch.ts'

const MiB = 1024 * 1024
const repository = 'team/app'
const unavailable = { status: 502, code: 'UNAVAILABLE' }
const denied = { status: 403, code: 'DENIED' }
const ok = { status: 200, code: undefined }
const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`

const resources = new AsyncDisposableStack()
let ground: Ground
let canary: Canary
let secured: FaultyUpstream
let rotating: FaultyUpstream
let shared: FaultyUpstream
let scratch: Scratch

beforeAll(async () => {
  canary = resources.use(await Canary.start())
  scratch = resources.use(await Scratch.start())
  const tls = selfSigned()
  secured = resources.use(await startUpstream({ tls }))
  rotating = resources.use(await startUpstream())
  shared = resources.use(await startUpstream())
  const [ca, passwordFile] = [await scratch.write('ca.pem', tls.cert), await scratch.write('password', 'first\n')]
  const account = (username: string) => ({ username, password: `password of ${username}` })
  ground = resources.use(
    await Ground.start({
      sites: 32,
      // The canary may be gone to, but not for tokens.
      rule: {
        credential: { username: 'user', password: 'secret' },
        redirectHosts: [`http://127.0.0.1:${canary.port}`],
      },
      rules: [
        ruleTo('secured.test', secured.url, {
          ca,
          credential: { username: 'user', password: 'secret' },
          realmHosts: [`http://127.0.0.1:${canary.port}`],
        }),
        ruleTo('rotating.test', rotating.url, {
          credential: { username: 'user', passwordFile },
        }),
        ruleTo('alice.test', shared.url, { credential: account('alice') }),
        ruleTo('bob.test', shared.url, { credential: account('bob') }),
      ],
    }),
  )
})

afterAll(() => resources.disposeAsync())

/** A site that gives tokens to our user only. */
function guarded(policy: TokenPolicy = {}) {
  const site = ground.site()
  const pushed = site.upstream.addImage(repository, 'v1', image({ seed: site.prefix }))
  site.upstream.requireToken({ users: { user: 'secret' }, ...policy })
  return { site, upstream: site.upstream, pushed }
}

describe.concurrent('challenges', () => {
  it('C47: a realm on a host that the rule does not list: 502, and nothing is sent there', async () => {
    const elsewhere = `http://127.0.0.1:${canary.port}/token`
    const realms = [
      elsewhere,
      elsewhere.replace('http', 'https'),
      elsewhere.replace('127.0.0.1', 'localhost'),
      'http://169.254.169.254/latest',
      'https://auth.example.com/token',
      'ftp://x/',
      '',
      'not a URL',
    ]
    for (const realm of realms) {
      const { site, upstream } = guarded({ realm })
      expect([realm, told(await site.manifest(repository, 'v1'))]).toEqual([realm, unavailable])
      for (const { headers } of upstream.requests()) expect(headers.authorization).toBeUndefined()
    }
    expect(canary.connections).toBe(0)
  })

  it('C47: a realm with a user in it: 502', async () => {
    const site = ground.site()
    site.upstream.requireToken({ realm: `http://evil:secret@${site.upstream.host}/token` })
    expect(told(await site.manifest(repository, 'v1'))).toEqual(unavailable)
    expect(site.upstream.requests('GET', 'token')).toEqual([])
  })

  it.each(['repository:samalba/my-app:pull,push', 'registry:catalog:*', ''])(
    'C48: the scope %j: we ask for our own',
    async (challengeScope) => {
      const { site, upstream } = guarded({ challengeScope })
      expect(told(await site.manifest(repository, 'v1'))).toEqual(ok)
      const scopes = upstream
        .requests('GET', 'token')
        .map(({ url }) => new URL(url, upstream.url).searchParams.getAll('scope'))
      expect(scopes).toEqual([[`repository:${repository}:pull`]])
    },
  )

  it('C49: several challenges with commas in quotes: the right one is met', async () => {
    const { site, upstream } = guarded()
    const realm = `${upstream.url}/token`
    const challenge = `Negotiate, Basic realm="a, b=\\"c\\"", Bearer error="x, y",realm="${realm}",service="test-registry"`
    upstream.requireToken({ users: { user: 'secret' }, challenge })
    expect(told(await site.manifest(repository, 'v1'))).toEqual(ok)
  })

  it.each([
    ['an open quote', 'Bearer realm="http://x'],
    ['no scheme', '="x"'],
    ['an unknown scheme', 'Digest realm="x", nonce="y"'],
    ['no realm', 'Bearer service="x"'],
    ['9 KiB', `Bearer realm="x",service="${'x'.repeat(9 * 1024)}"`],
    ['64 KiB', `Bearer realm="x",service="${'x'.repeat(64 * 1024)}"`],
  ])('C49: %s: 502', async (_, challenge) => {
    const { site, upstream } = guarded({ challenge })
    expect(told(await site.manifest(repository, 'v1'))).toEqual(unavailable)
    for (const { headers } of upstream.requests()) expect(headers.authorization).toBeUndefined()
  })

  it('C54: an upstream behind TLS cannot have the credential sent in clear, not even to a listed host', async () => {
    secured.addImage(repository, 'v1', image())
    secured.requireToken({ users: { user: 'secret' }, realm: `http://127.0.0.1:${canary.port}/token` })
    expect(told(await ground.at('secured.test').manifest(repository, 'v1'))).toEqual(unavailable)
    expect(canary.connections).toBe(0)
    secured.requireToken({ users: { user: 'secret' } })
    expect(told(await ground.at('secured.test').manifest(repository, 'v1'))).toEqual(ok)
  })
})

describe.concurrent('tokens', () => {
  it.each([
    ['without end', { body: Buffer.alloc(8 * MiB, ' '), framing: 'chunked' }],
    ['of 65 KiB', { body: `{"token":"${'x'.repeat(65 * 1024)}"}` }],
    ['of HTML', { body: '<html>' }],
    ['without a token', { body: '{"expires_in":60}' }],
    ['that would split a header', { body: JSON.stringify({ token: 'a\r\nx-evil: 1' }) }],
  ] as const)('C50: an answer %s: 502', async (_, fault) => {
    const { site, upstream } = guarded()
    upstream.fault('token', { ...fault })
    expect(told(await site.manifest(repository, 'v1'))).toEqual(unavailable)
  })

  it.each([null, 0, -5])('C50: that live for %s seconds: good for a while', async (expiresIn) => {
    const { site, upstream, pushed } = guarded({ expiresIn })
    expect(told(await site.manifest(repository, 'v1'))).toEqual(ok)
    expect(told(await site.blob(repository, pushed.config.digest))).toEqual(ok)
    expect(upstream.requests('GET', 'token')).toHaveLength(1)
  })

  it('C51: revoked in mid-transfer: another one is got, and the transfer goes on', async () => {
    const { site, upstream } = guarded()
    const blob = upstream.addBlob(repository, randomBlob(4 * MiB, 'C51'))
    const { promise: revoked, resolve: goOn } = Promise.withResolvers<void>()
    upstream.fault('blob', { pauseAfter: 2 * MiB, resume: revoked, resetAfter: 2 * MiB + 1, times: 1 })
    const response = await site.openBlob(repository, blob.digest)
    const first = await take(response, MiB)
    upstream.revokeTokens()
    goOn()
    const rest = await response.toArray()

    expect(digestOfBytes(Buffer.concat([first, ...rest]))).toBe(blob.digest)
    expect(upstream.requests('GET', 'token')).toHaveLength(2)
    expect(upstream.requests('GET', 'blob').map(({ status }) => status)).toEqual([401, 200, 401, 206])
  })

  it.each([401, 403])(
    'C52: %i with a fresh one: one more try, then 403, with no challenge passed on',
    async (status) => {
      const { site, upstream, pushed } = guarded()
      expect(told(await site.manifest(repository, pushed.digest))).toEqual(ok)
      upstream.forget()
      const challenge = `Bearer realm="${upstream.url}/token",service="test-registry"`
      upstream.fault('manifest', { status, headers: { 'www-authenticate': challenge } })

      const got = await site.manifest(repository, 'v1')

      expect(told(got)).toEqual(denied)
      expect(got.headers['www-authenticate']).toBeUndefined()
      expect(upstream.requests(undefined, 'manifest').length).toBeLessThanOrEqual(3)
      expect(upstream.requests('GET', 'token').length).toBeLessThanOrEqual(2)
      expect(told(await site.manifest(repository, pushed.digest))).toEqual(ok)
    },
  )

  it('C52: our credential is refused: 403, and what is cached is served', async () => {
    const { site, upstream, pushed } = guarded()
    expect(told(await site.manifest(repository, 'v1'))).toEqual(ok)
    upstream.requireToken({ users: { user: 'another secret' } })
    upstream.revokeTokens()
    expect(told(await site.blob(repository, pushed.config.digest))).toEqual(denied)
    expect(told(await site.manifest(repository, pushed.digest))).toEqual(ok)
  })

  it('C53: a password that is changed in its file is used by the next request', async () => {
    rotating.addImage(repository, 'v1', image())
    rotating.requireBasic('user', 'second')
    const client = ground.at('rotating.test')
    expect(told(await client.manifest(repository, 'v1'))).toEqual(denied)
    await scratch.write('password', 'second\n')
    expect(told(await client.manifest(repository, 'v1'))).toEqual(ok)
    rotating.requireBasic('user', 'third')
    await scratch.write('password', 'third\n')
    expect(told(await client.manifest(repository, 'v1'))).toEqual(ok)
  })

  it('C55: two accounts at one host: each uses its own', async () => {
    const { config } = shared.addImage(repository, 'v1', image({ seed: 'C55' }))
    const users = { alice: 'password of alice', bob: 'password of bob' }
    shared.requireToken({ users })
    for (const prefix of ['alice.test', 'bob.test', 'alice.test']) {
      expect(told(await ground.at(prefix).manifest(repository, 'v1'))).toEqual(ok)
      expect(told(await ground.at(prefix).blob(repository, config.digest))).toEqual(ok)
    }
    const shown = shared.requests('GET', 'token').map(({ headers }) => headers.authorization)
    expect(shown).toEqual([basic('alice:password of alice'), basic('bob:password of bob')])
    shared.requireToken({ users: { bob: 'password of bob' } })
    shared.revokeTokens()
    shared.addImage(repository, 'v2', image({ seed: 'C55 v2' }))
    expect(told(await ground.at('alice.test').manifest(repository, 'v2'))).toEqual(denied)
    expect(told(await ground.at('bob.test').manifest(repository, 'v2'))).toEqual(ok)
  })

  it('C56: what a client sends for another registry is neither looked at, nor passed on, nor logged', async () => {
    const { upstream, ...site } = ground.site()
    const client = ground.at(site.prefix)
    const { config } = upstream.addImage(repository, 'v1', image({ seed: 'C56' }))
    const headers = { authorization: basic('hub-user:C56-canary'), cookie: 'C56-canary', 'x-meta': 'C56-canary' }
    expect(told(await client.manifest(repository, 'v1', { headers }))).toEqual(ok)
    expect(told(await client.blob(repository, config.digest, { headers }))).toEqual(ok)
    expect((await ground.get('/v2/', { headers })).status).toBe(200)
    expect(upstream.requests()).toHaveLength(2)
    const seen = JSON.stringify([upstream.requests(), ground.cistern.logs])
    expect(seen).not.toContain('C56-canary')
    expect(seen).not.toContain(headers.authorization)
  })
})
