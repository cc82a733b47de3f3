import { describe, expect, it } from 'vitest'
import { upstreamTo } from '../support/faulty-rule.ts'
import { type FaultyUpstream, image, startUpstream } from '../support/faulty-upstream.ts'

const repository = 'library/nginx'
const tag = { repository, tag: 'latest' }
const check = { check: true }
const hourMs = 3_600_000

const says = (remote: FaultyUpstream, remaining: string) => {
  remote.heal()
  remote.fault('manifest', { headers: { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': remaining } })
}

async function given(reserve: number) {
  const remote = await startUpstream()
  const clock = { now: 0 }
  const upstream = upstreamTo(remote.url, { changes: { budget: { reserve } }, now: () => clock.now })
  remote.addImage(repository, 'latest', image())
  const disposing = new AsyncDisposableStack()
  disposing.use(remote)
  disposing.use(upstream)
  return { remote, upstream, clock, [Symbol.asyncDispose]: () => disposing.disposeAsync() }
}

describe('a reserve of what upstream allows', () => {
  it('is spent on what is not cached alone', async () => {
    await using ground = await given(20)
    const { remote, upstream } = ground
    says(remote, '21;w=21600')
    await upstream.resolve(tag, check)
    await upstream.resolve(tag, check)
    says(remote, '20;w=21600')
    await upstream.manifest(tag)
    remote.forget()

    const checks = [
      upstream.resolve(tag, check),
      upstream.tags(repository, {}, check),
      upstream.referrers(repository, image().digest, check),
    ]
    for (const refused of checks) await expect(refused).rejects.toMatchObject({ kind: 'throttled' })
    expect(remote.requests()).toEqual([])
    await upstream.manifest(tag)
    await upstream.resolve(tag)
    expect(remote.requests()).toHaveLength(2)
  })

  it('is over as soon as upstream says that there is more', async () => {
    await using ground = await given(20)
    const { remote, upstream } = ground
    says(remote, '3;w=21600')
    await upstream.manifest(tag)
    await expect(upstream.resolve(tag, check)).rejects.toMatchObject({ kind: 'throttled' })
    says(remote, '100;w=21600')
    await upstream.manifest(tag)
    await upstream.resolve(tag, check)
  })

  it.each([
    ['the window that it names', '3;w=21600', 6 * hourMs],
    ['a minute where it names none', '3', 60_000],
    ['a day where it names a longer one', '3;w=31536000', 24 * hourMs],
  ])('is kept for %s', async (_, remaining, windowMs) => {
    await using ground = await given(20)
    const { remote, upstream, clock } = ground
    remote.fault('manifest', { headers: { 'ratelimit-remaining': remaining } })
    await upstream.manifest(tag)
    clock.now = windowMs - 1
    await expect(upstream.resolve(tag, check)).rejects.toMatchObject({ kind: 'throttled' })
    clock.now = windowMs
    await upstream.resolve(tag, check)
  })

  it('of nothing keeps nothing', async () => {
    await using ground = await given(0)
    const { remote, upstream } = ground
    says(remote, '0;w=21600')
    await upstream.manifest(tag)
    await upstream.resolve(tag, check)
  })

  it.each(['soon', '-1', ''])('is not touched by %j as what is left', async (remaining) => {
    await using ground = await given(20)
    const { remote, upstream } = ground
    remote.fault('manifest', { headers: { 'ratelimit-remaining': remaining } })
    await upstream.manifest(tag)
    await upstream.resolve(tag, check)
  })

  it('is not what the host of a redirect says of itself', async () => {
    await using remote = await startUpstream()
    await using other = await startUpstream()
    other.addImage(repository, 'latest', image())
    says(other, '1;w=21600')
    remote.fault('manifest', { status: 307, redirect: ({ path }) => `${other.url}${path}` })
    const changes = { budget: { reserve: 20 }, redirectHosts: [other.url] }
    await using upstream = upstreamTo(remote.url, { changes })
    await upstream.manifest(tag)
    await upstream.resolve(tag, check)
    expect(other.requests()).toHaveLength(2)
  })
})
