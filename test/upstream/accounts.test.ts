import { describe, expect, it } from 'vitest'
import { type Events, subscribe } from '../../src/telemetry/events.ts'
import { TestCredentials, upstreamTo } from '../support/faulty-rule.ts'
import { type Fault, type FaultyUpstream, image, startUpstream } from '../support/faulty-upstream.ts'

const repository = 'library/nginx'
const tag = { repository, tag: 'latest' }
const users = { one: 'canary1', two: 'canary2' }
const one = () => new TestCredentials('one', 'canary1')
const two = () => new TestCredentials('two', 'canary2')

/** An upstream that knows two accounts. The first to be used gets the first token. */
async function startRegistry() {
  const remote = await startUpstream()
  remote.addImage(repository, 'latest', image())
  remote.requireToken({ users })
  return remote
}

/** What goes wrong for the account that got token number `index`. */
const faultFor = (remote: FaultyUpstream, index: number, fault: Fault) =>
  remote.fault('manifest', { ...fault, when: (seen) => tokenOf(seen) === remote.tokens[index] })

const tokenOf = (seen: { headers: { authorization?: string | undefined } }) =>
  seen.headers.authorization?.replace('Bearer ', '')

/** The numbers of the tokens of the requests that were let in. */
const trail = (remote: FaultyUpstream) =>
  remote
    .requests()
    .filter(({ kind, headers }) => kind === 'manifest' && headers.authorization)
    .map((seen) => remote.tokens.indexOf(tokenOf(seen) ?? ''))

describe('several accounts', () => {
  it('B27: the second takes over where the first is out of quota, and nobody asks with the first meanwhile', async () => {
    let now = 0
    await using remote = await startRegistry()
    await using upstream = upstreamTo(remote.url, { credentials: [one(), two()], now: () => now })
    await upstream.manifest(tag)
    faultFor(remote, 0, { times: 1, status: 429, headers: { 'retry-after': '60' } })
    await upstream.manifest(tag)
    await upstream.manifest(tag)
    expect(trail(remote)).toEqual([0, 0, 1, 1])
    now = 60_000
    await upstream.manifest(tag)
    expect(trail(remote)).toEqual([0, 0, 1, 1, 0])
  })

  it('B27: all out of quota are asked with no more before the earliest time that one of them was told', async () => {
    let now = 0
    await using remote = await startRegistry()
    await using upstream = upstreamTo(remote.url, { credentials: [one(), two()], now: () => now })
    remote.fault('manifest', { times: 1, status: 429, headers: { 'retry-after': '90' } })
    remote.fault('manifest', { after: 1, times: 1, status: 429, headers: { 'retry-after': '60' } })
    await expect(upstream.manifest(tag)).rejects.toMatchObject({ kind: 'throttled', retryAfterMs: 60_000 })
    expect(trail(remote)).toEqual([0, 1])
    remote.forget()
    now = 59_000
    await expect(upstream.manifest(tag)).rejects.toMatchObject({ kind: 'throttled', retryAfterMs: 1000 })
    expect(remote.requests()).toEqual([])
    now = 60_000
    await upstream.manifest(tag)
    expect(trail(remote)).toEqual([1])
  })

  it('B27: a token server that allows one no more means that one', async () => {
    await using remote = await startRegistry()
    await using upstream = upstreamTo(remote.url, { credentials: [one(), two()], now: () => 0 })
    remote.fault('token', { times: 1, status: 429, headers: { 'retry-after': '60' } })
    await upstream.manifest(tag)
    await upstream.manifest(tag)
    expect(remote.requests('GET', 'token').map(({ status }) => status)).toEqual([429, 200])
  })

  it('the one with most left is used', async () => {
    await using remote = await startRegistry()
    await using upstream = upstreamTo(remote.url, { credentials: [one(), two()] })
    const said: Events['cistern:ratelimit'][] = []
    const end = subscribe('cistern:ratelimit', (event) => event.upstream === remote.host && said.push(event))
    const left = (remaining: number) => ({
      headers: { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': `${remaining};w=21600` },
    })
    remote.fault('manifest', { times: 1, ...left(50) })
    await upstream.manifest(tag)
    remote.fault('manifest', { times: 1, ...left(60) })
    await upstream.manifest(tag)
    faultFor(remote, 1, { times: 1, ...left(40) })
    await upstream.manifest(tag)
    await upstream.manifest(tag)
    end()
    expect(trail(remote)).toEqual([0, 1, 1, 0])
    expect(said.map(({ limit, remaining }) => [limit, remaining])).toEqual([
      [100, 50],
      [200, 110],
      [200, 90],
    ])
  })

  it('a check is made while one of them has more than the reserve', async () => {
    await using remote = await startRegistry()
    const changes = { budget: { reserve: 20 } }
    await using upstream = upstreamTo(remote.url, { credentials: [one(), two()], changes })
    remote.fault('manifest', { times: 1, headers: { 'ratelimit-remaining': '20;w=21600' } })
    remote.fault('manifest', { after: 1, times: 1, headers: { 'ratelimit-remaining': '19;w=21600' } })
    await upstream.manifest(tag)
    await upstream.resolve(tag, { check: true })
    await expect(upstream.resolve(tag, { check: true })).rejects.toMatchObject({ kind: 'throttled' })
    expect(trail(remote)).toEqual([0, 1])
    await upstream.manifest(tag)
    expect(trail(remote)).toEqual([0, 1, 0])
  })

  it('C52: one that is refused is rejected, and tried last until it works', async () => {
    await using remote = await startRegistry()
    const broken = new TestCredentials('one', 'wrong')
    const sound = two()
    await using upstream = upstreamTo(remote.url, { credentials: [broken, sound] })
    await upstream.manifest(tag)
    expect(broken.rejected).not.toEqual([])
    expect(sound.rejected).toEqual([])
    remote.forget()
    await upstream.manifest(tag)
    expect(remote.requests().map(({ kind, status }) => [kind, status])).toEqual([['manifest', 200]])
  })

  it('C52: one that works again takes its turn again', async () => {
    await using remote = await startRegistry()
    await using upstream = upstreamTo(remote.url, { credentials: [one(), two()] })
    const left = (count: number) => ({ headers: { 'ratelimit-remaining': `${count};w=21600` } })
    remote.fault('manifest', { times: 1, status: 403 })
    remote.fault('manifest', { after: 1, times: 1, ...left(50) })
    await upstream.manifest(tag)
    remote.fault('manifest', { times: 2, status: 403 }) // with the token it had, and with a fresh one
    remote.fault('manifest', { after: 2, times: 1, ...left(10) })
    await upstream.manifest(tag)
    await upstream.manifest(tag)
    const [before, last] = trail(remote).slice(-2)
    expect(last).toBe(before)
  })

  it('C52: all refused is refused', async () => {
    await using remote = await startRegistry()
    const credentials = [new TestCredentials('one', 'wrong'), new TestCredentials('two', 'wrong')]
    await using upstream = upstreamTo(remote.url, { credentials })
    await expect(upstream.manifest(tag)).rejects.toMatchObject({ kind: 'denied' })
  })

  it('one out of quota and one refused is out of quota: that passes', async () => {
    await using remote = await startRegistry()
    const credentials = [new TestCredentials('two', 'wrong'), one()]
    await using upstream = upstreamTo(remote.url, { credentials, now: () => 0 })
    remote.fault('manifest', { status: 429, headers: { 'retry-after': '60' } })
    await expect(upstream.manifest(tag)).rejects.toMatchObject({ kind: 'throttled', retryAfterMs: 60_000 })
  })

  it('C55: no account is given the token of another', async () => {
    await using remote = await startRegistry()
    await using upstream = upstreamTo(remote.url, { credentials: [one(), two()], now: () => 0 })
    await upstream.manifest(tag)
    faultFor(remote, 0, { status: 429, headers: { 'retry-after': '60' } })
    await upstream.manifest(tag)
    const asked = remote.requests('GET', 'token').map(({ headers }) => headers.authorization?.replace('Basic ', ''))
    expect(asked.map((text) => Buffer.from(text ?? '', 'base64').toString())).toEqual(['one:canary1', 'two:canary2'])
  })
})
