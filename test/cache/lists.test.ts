import { describe, expect, it } from 'vitest'
import { isKind, type Kind, unavailable } from '../../src/oci/errors.ts'
import { given } from './given.ts'

const latest = { repository: 'hub/app', tag: 'latest' }
const kind = (expected: Kind) => (error: unknown) => isKind(error, expected)
const minute = 60_000

describe('lists', () => {
  it('merge the tags of upstream with the cached ones, page them, and outlive upstream', async () => {
    const { clock, upstream, registry } = given({ negativeTtlMs: 0 })
    upstream.addManifest('app', { one: 1 }, 'latest', 'a', 'c')
    await registry.manifest(latest)
    upstream.removeTag('app', 'latest')
    expect((await registry.tags('hub/app')).tags).toEqual(['a', 'c', 'latest'])
    expect(await registry.tags('hub/app', { n: 1, last: 'a' })).toMatchObject({ tags: ['c'], more: true })
    expect(await registry.tags('hub/app', { n: 0 })).toMatchObject({ tags: [], more: true })
    expect(upstream.count('tags')).toBe(1)
    clock.now += minute
    upstream.failure = unavailable('down')
    expect(await registry.tags('hub/app')).toMatchObject({ tags: ['latest'], more: false, outcome: { cache: 'stale' } })
    await expect(registry.tags('hub/other')).rejects.toSatisfy(kind('unavailable'))
  })

  it('of referrers are kept for their TTL, outlive upstream, and pass on that there are none', async () => {
    const { clock, upstream, registry } = given()
    const subject = upstream.addManifest('app', { one: 1 }).descriptor
    const list = () => registry.referrers('hub/app', subject.digest)
    await expect(list()).rejects.toSatisfy(kind('unknown'))
    const { upstream: again, registry: other } = given()
    again.referrersOf.set(`app@${subject.digest}`, [{ ...subject, artifactType: 'a/b' }])
    const referrers = () => other.referrers('hub/app', subject.digest)
    expect((await referrers()).referrers).toEqual([{ ...subject, artifactType: 'a/b' }])
    expect((await referrers()).outcome?.cache).toBe('hit')
    expect(again.calls).toHaveLength(1)
    clock.now += minute
    again.failure = unavailable('down')
    expect((await referrers()).referrers).toHaveLength(1)
  })

  it('of referrers go to the metadata only where their subject is held', async () => {
    const { cache, upstream, registry } = given()
    const held = upstream.addManifest('app', { one: 1 }, 'latest').descriptor.digest
    await registry.manifest(latest)
    for (const subject of [held, `sha256:${'1'.repeat(64)}`, `sha256:${'2'.repeat(64)}`] as const) {
      upstream.referrersOf.set(`app@${subject}`, [])
      await registry.referrers('hub/app', subject)
      expect((await registry.referrers('hub/app', subject)).outcome?.cache).toBe('hit')
    }
    expect(upstream.count('referrers')).toBe(3)
    const keys: string[] = []
    for await (const [key] of cache.metadata.referrers.entries()) keys.push(key)
    expect(keys).toEqual([`hub/app@${held}`])
  })
})
