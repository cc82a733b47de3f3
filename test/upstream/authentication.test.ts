import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { selfSigned } from '../support/faulty-certificate.ts'
import { bytesOf, digestOfBody, TestCredentials, upstreamTo } from '../support/faulty-rule.ts'
import { image, randomBlob, startUpstream } from '../support/faulty-upstream.ts'

const repository = 'library/nginx'
const tag = { repository, tag: 'latest' }
const users = { user: 'canary' }
const denied = { kind: 'denied' }

const account = () => new TestCredentials('user', 'canary')

describe('tokens', () => {
  it('are fetched anonymously, only when upstream asks, and remembered', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    remote.addImage(repository, 'latest', image())
    remote.requireToken()
    await upstream.resolve(tag)
    await upstream.manifest(tag)
    const trail = remote.requests().map(({ method, kind, status }) => [method, kind, status])
    expect(trail).toEqual([
      ['HEAD', 'manifest', 401],
      ['GET', 'token', 200],
      ['HEAD', 'manifest', 200],
      ['GET', 'manifest', 200],
    ])
    expect(remote.requests()[0]?.headers.authorization).toBeUndefined()
    expect(remote.requests()[1]?.headers.authorization).toBeUndefined()
  })

  it('are fetched with the account, which goes nowhere else', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { credentials: account() })
    const nginx = remote.addImage(repository, 'latest', image())
    remote.requireToken({ users, field: 'access_token' })
    expect((await upstream.manifest(tag)).descriptor).toEqual(nginx.descriptor)
    const withAccount = remote.requests().filter(({ headers }) => headers.authorization?.startsWith('Basic '))
    expect(withAccount.map(({ kind }) => kind)).toEqual(['token'])
  })

  it.each([
    ['a placeholder', 'repository:user/image:pull'],
    ['more than reading', `repository:${repository}:pull,push`],
    ['nothing', ''],
  ])('C48: are for reading this repository where the challenge asks for %s', async (_, challengeScope) => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    remote.addImage(repository, 'latest', image())
    remote.requireToken({ challengeScope, service: 'a service' })
    await upstream.resolve(tag)
    const [token] = remote.requests('GET', 'token')
    const query = new URL(token?.url ?? '', remote.url).searchParams
    expect(query.get('scope')).toBe(`repository:${repository}:pull`)
    expect(query.get('service')).toBe('a service')
  })

  it('C55: are kept by repository, and fetched once for all who wait', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    for (const name of [repository, 'library/redis']) remote.addImage(name, 'latest', image())
    remote.requireToken()
    const all = [repository, 'library/redis'].flatMap((name) => Array(10).fill(name))
    await Promise.all(all.map((name) => upstream.resolve({ repository: name, tag: 'latest' })))
    expect(remote.requests('GET', 'token')).toHaveLength(2)
  })

  it.each([
    [300, 269_000, 271_000],
    [null, 53_000, 55_000],
    [0, 53_000, 55_000],
    [-5, 53_000, 55_000],
  ])('C50: with expires_in %s are renewed at nine tenths of their life', async (expiresIn, before, after) => {
    let now = 0
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { now: () => now })
    remote.addImage(repository, 'latest', image())
    remote.requireToken({ expiresIn })
    await upstream.resolve(tag)
    now = before
    await upstream.resolve(tag)
    expect(remote.requests('GET', 'token')).toHaveLength(1)
    now = after
    await upstream.resolve(tag)
    expect(remote.requests('GET', 'token')).toHaveLength(2)
  })

  it.each([
    ['huge', JSON.stringify({ token: 'x', padding: 'x'.repeat(70_000) })],
    ['a web page', '<html>'],
    ['empty', '{}'],
    ['no header text', '{"token":"a\\nb"}'],
    ['null', 'null'],
  ])('C50: an answer that is %s is corrupt', async (_, body) => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    remote.requireToken()
    remote.fault('token', { body })
    await expect(upstream.resolve(tag)).rejects.toMatchObject({ kind: 'corrupt' })
  })

  it('C51: that expire in mid-blob are renewed for the resume', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { credentials: account() })
    const blob = remote.addBlob(repository, randomBlob(500_000))
    remote.requireToken({ users })
    const resume = Promise.withResolvers<void>()
    remote.fault('blob', { times: 1, pauseAfter: 100_000, resume: resume.promise, endAfter: 200_000 })
    const { body } = await upstream.blob(repository, blob.digest)
    remote.revokeTokens()
    resume.resolve()
    expect(await digestOfBody(body)).toBe(blob.digest)
    expect(remote.requests('GET', 'token')).toHaveLength(2)
  })

  it('C52: that are refused even fresh end in one denial, which tells nothing of realms', async () => {
    await using remote = await startUpstream()
    const credentials = account()
    await using upstream = upstreamTo(remote.url, { credentials })
    remote.addImage(repository, 'latest', image())
    remote.requireToken({ users })
    await upstream.resolve(tag)
    remote.forget()
    remote.fault('manifest', { status: 403 })
    const error = await upstream.resolve(tag).catch((caught: unknown) => caught)
    expect(error).toMatchObject(denied)
    expect(inspect(error, { depth: 9 })).not.toMatch(/realm|canary|token-/)
    expect(remote.requests('HEAD', 'manifest')).toHaveLength(2)
    expect(remote.requests('GET', 'token')).toHaveLength(1)
    expect(credentials.rejected.length).toBeGreaterThan(0)
  })

  it('C53: a credential that was mended is used by the next request', async () => {
    await using remote = await startUpstream()
    const credentials = new TestCredentials('user', 'wrong')
    await using upstream = upstreamTo(remote.url, { credentials })
    remote.addImage(repository, 'latest', image())
    remote.requireToken({ users })
    await expect(upstream.resolve(tag)).rejects.toMatchObject(denied)
    expect(credentials.rejected).toEqual([{ username: 'user', password: 'wrong' }])
    credentials.current = { username: 'user', password: 'canary' }
    await upstream.resolve(tag)
  })

  it('C53: a credential that is mended once it is refused serves the same request', async () => {
    await using remote = await startUpstream()
    const credentials = new TestCredentials('user', 'old')
    credentials.onReject = () => {
      credentials.current = { username: 'user', password: 'canary' }
    }
    await using upstream = upstreamTo(remote.url, { credentials })
    remote.addImage(repository, 'latest', image())
    remote.requireToken({ users })
    await upstream.resolve(tag)
  })

  it('C47: a realm that the rule does not list gets no request', async () => {
    await using remote = await startUpstream()
    await using thief = await startUpstream()
    thief.requireToken()
    const port = new URL(remote.url).port
    const realms = [
      `${thief.url}/token`,
      `http://localhost:${port}/token`,
      `https://127.0.0.1:${port}/token`,
      `http://user:pass@127.0.0.1:${port}/token`,
      'http://169.254.169.254/latest/meta-data',
      '/token',
      '',
    ]
    for (const realm of realms) {
      await using upstream = upstreamTo(remote.url, { credentials: account(), allowPrivate: true })
      remote.requireToken({ users, realm })
      await expect(upstream.resolve(tag), realm).rejects.toMatchObject({ kind: 'unavailable' })
    }
    expect(thief.requests()).toHaveLength(0)
    expect(remote.requests('GET', 'token')).toHaveLength(0)
  })

  it('C47: a realm that the rule lists serves', async () => {
    await using remote = await startUpstream()
    await using realm = await startUpstream()
    await using upstream = upstreamTo(remote.url, { credentials: account(), changes: { realmHosts: [realm.url] } })
    realm.requireToken({ users })
    remote.addImage(repository, 'latest', image())
    remote.requireToken({ users, realm: `${realm.url}/token?account=x` }, realm)
    await upstream.resolve(tag)
    expect(realm.requests('GET', 'token')[0]?.url).toContain('account=x')
  })

  it('C54: a realm of plain http gets nothing of an upstream of https, even if the rule lists it', async () => {
    const tls = selfSigned()
    await using remote = await startUpstream({ tls })
    await using realm = await startUpstream()
    realm.requireToken({ users })
    remote.requireToken({ users }, realm)
    const changes = { ca: tls.cert, realmHosts: [realm.url] }
    await using upstream = upstreamTo(remote.url, { credentials: account(), changes })
    await expect(upstream.resolve(tag)).rejects.toMatchObject({ kind: 'unavailable' })
    expect(realm.requests()).toHaveLength(0)
  })

  it('a realm that moved is found again after one failure', async () => {
    await using remote = await startUpstream()
    await using realm = await startUpstream()
    await using upstream = upstreamTo(remote.url, { credentials: account(), changes: { realmHosts: [realm.url] } })
    remote.addImage(repository, 'latest', image())
    realm.requireToken({ users })
    remote.requireToken({ users }, realm)
    await upstream.resolve(tag)
    remote.requireToken({ users })
    realm.revokeTokens()
    await realm.goDown()
    remote.addImage('library/other', 'latest', image())
    const other = { repository: 'library/other', tag: 'latest' }
    await expect(upstream.resolve(other)).rejects.toMatchObject({ kind: 'unavailable' })
    await upstream.resolve(other)
  })

  it('C47: a redirect of the realm is not followed', async () => {
    await using remote = await startUpstream()
    await using thief = await startUpstream()
    await using upstream = upstreamTo(remote.url, { credentials: account(), allowPrivate: true })
    remote.requireToken({ users })
    remote.fault('token', { redirect: `${thief.url}/token` })
    await expect(upstream.resolve(tag)).rejects.toMatchObject({ kind: 'unavailable' })
    expect(thief.requests()).toHaveLength(0)
  })
})

describe('other challenges', () => {
  it('Basic is answered with the account, and nothing is shown before', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { credentials: account() })
    const blob = remote.addBlob(repository, randomBlob(100))
    remote.requireBasic('user', 'canary')
    expect(await bytesOf((await upstream.blob(repository, blob.digest)).body)).toEqual(blob.bytes())
    expect((await upstream.stat(repository, blob.digest)).size).toBe(100)
    expect(remote.requests().map(({ status }) => status)).toEqual([401, 200, 200])
  })

  it('Basic without an account is a denial, and so is one with a wrong account', async () => {
    await using remote = await startUpstream()
    remote.requireBasic('user', 'canary')
    await using anonymous = upstreamTo(remote.url)
    await expect(anonymous.resolve(tag)).rejects.toMatchObject(denied)
    const credentials = new TestCredentials('user', 'wrong')
    await using wrong = upstreamTo(remote.url, { credentials })
    await expect(wrong.resolve(tag)).rejects.toMatchObject(denied)
    expect(credentials.rejected).toHaveLength(1)
  })

  it('a refusal without one is met by that of /v2/', async () => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url)
    remote.addImage(repository, 'latest', image())
    remote.requireToken({ challenge: null })
    await upstream.resolve(tag)
    expect(remote.requests('GET', 'ping')).toHaveLength(1)
  })

  it.each([
    ['nvcr', true],
    ['generic', false],
  ] as const)('%s: the challenge to a stale token is asked for again without it: %s', async (dialect, again) => {
    await using remote = await startUpstream()
    await using upstream = upstreamTo(remote.url, { credentials: account(), changes: { dialect } })
    remote.addImage(repository, 'latest', image())
    remote.requireToken({ users, staleChallenge: 'Bearer realm="https://authn.test/token"' })
    await upstream.resolve(tag)
    remote.revokeTokens()
    remote.forget()
    const resolved = upstream.resolve(tag)
    if (again) await resolved
    else await expect(resolved).rejects.toMatchObject({ kind: 'unavailable' })
    const trail = remote.requests('HEAD', 'manifest').map(({ status, headers }) => [status, 'authorization' in headers])
    const whole = [
      [401, true],
      [401, false],
      [200, true],
    ]
    expect(trail).toEqual(again ? whole : whole.slice(0, 1))
  })

  it.each(['Bearer', 'Bearer realm="unclosed', 'Negotiate', `Bearer realm="${'x'.repeat(9000)}"`])(
    'C49: %.30s is no challenge one can meet',
    async (challenge) => {
      await using remote = await startUpstream()
      await using upstream = upstreamTo(remote.url, { credentials: account() })
      remote.requireToken({ users, challenge })
      await expect(upstream.resolve(tag)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
      expect(remote.requests('GET', 'token')).toHaveLength(0)
    },
  )
})
