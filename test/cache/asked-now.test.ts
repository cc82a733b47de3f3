import { describe, expect, it } from 'vitest'
import type { Digest } from '../../src/oci/digest.ts'
import { corrupt, denied, isKind, type Kind, throttled, unavailable } from '../../src/oci/errors.ts'
import type { Registry } from '../../src/oci/registry.ts'
import { given } from './given.ts'

const latest = { repository: 'hub/app', tag: 'latest' }
const kind = (expected: Kind) => (error: unknown) => isKind(error, expected)
const minute = 60_000
const methods = ({ calls }: { calls: { method: string }[] }) => calls.map(({ method }) => method)

const askedNow = async (registry: Registry) => (await registry.manifest(latest, { refresh: true })).descriptor.digest
const pulled = async (registry: Registry) => (await registry.manifest(latest)).descriptor.digest

describe('a tag that is asked for now', () => {
  it('is followed however fresh it is', async () => {
    const { upstream, registry } = given()
    upstream.addManifest('app', { old: 1 }, 'latest')
    await pulled(registry)
    const next = upstream.addManifest('app', { next: 1 }, 'latest')
    expect(await askedNow(registry)).toBe(next.descriptor.digest)
    expect(await pulled(registry)).toBe(next.descriptor.digest)
    expect(methods(upstream)).toEqual(['manifest', 'resolve', 'manifest'])
  })

  it('is found where a moment ago it was not, and stays found', async () => {
    const { clock, upstream, registry } = given({ tagTtl: [{ pattern: '*', ttlMs: 0 }] })
    await expect(pulled(registry)).rejects.toSatisfy(kind('unknown'))
    const one = upstream.addManifest('app', { one: 1 }, 'latest')
    await expect(pulled(registry)).rejects.toSatisfy(kind('unknown'))
    expect(await askedNow(registry)).toBe(one.descriptor.digest)
    clock.now += 1
    expect(await pulled(registry)).toBe(one.descriptor.digest)
  })

  it('is found where a moment ago its digest was not', async () => {
    const { upstream, registry } = given()
    upstream.addManifest('app', { old: 1 }, 'latest')
    await pulled(registry)
    const next = given().upstream.addManifest('app', { next: 1 })
    const byDigest = { repository: 'hub/app', digest: next.descriptor.digest }
    await expect(registry.manifest(byDigest)).rejects.toSatisfy(kind('unknown'))
    upstream.addManifest('app', { next: 1 }, 'latest')
    expect(await askedNow(registry)).toBe(next.descriptor.digest)
  })

  it('is asked for though the last check failed, and ends the pause', async () => {
    const { clock, upstream, registry } = given()
    const one = upstream.addManifest('app', { one: 1 }, 'latest')
    await pulled(registry)
    clock.now += minute
    upstream.failure = throttled('later', { retryAfterMs: 100 * minute })
    await pulled(registry)
    upstream.failure = undefined
    expect(await askedNow(registry)).toBe(one.descriptor.digest)
    clock.now += minute
    expect((await registry.manifest(latest)).outcome?.cache).toBe('revalidated')
  })

  it.each([unavailable('down'), throttled('later'), denied('no'), corrupt('nonsense')])(
    'says what kept it from being checked (%s), and stays where it is',
    async (failure) => {
      const { upstream, registry, offline } = given({ staleWhileRevalidateMs: minute })
      const one = upstream.addManifest('app', { one: 1 }, 'latest')
      await pulled(registry)
      upstream.failure = failure
      await expect(askedNow(registry)).rejects.toBe(failure)
      expect(await pulled(registry)).toBe(one.descriptor.digest)
      expect(await pulled(offline())).toBe(one.descriptor.digest)
    },
  )

  it('stays where it is where it is gone upstream, or what it moved to is not to be had', async () => {
    const { upstream, registry, offline } = given({ onUnknownTag: 'keep' })
    const one = upstream.addManifest('app', { one: 1 }, 'latest')
    await pulled(registry)
    upstream.removeTag('app', 'latest')
    await expect(askedNow(registry)).rejects.toSatisfy(kind('unknown'))
    expect(await pulled(offline())).toBe(one.descriptor.digest)
    upstream.addManifest('app', { next: 1 }, 'latest')
    upstream.failures.set('manifest', unavailable('down'))
    await expect(askedNow(registry)).rejects.toSatisfy(kind('unavailable'))
    expect(await pulled(offline())).toBe(one.descriptor.digest)
  })

  it('is asked for after a check that is under way, not with it', async () => {
    const { clock, upstream, registry } = given()
    upstream.addManifest('app', { old: 1 }, 'latest')
    await pulled(registry)
    clock.now += minute
    const gate = Promise.withResolvers<void>()
    upstream.gate = gate.promise
    const earlier = registry.resolve(latest)
    await expect.poll(() => upstream.count('resolve')).toBe(1)
    const now = askedNow(registry)
    await new Promise(setImmediate)
    expect(upstream.count('resolve')).toBe(1)
    gate.resolve()
    await Promise.all([earlier, now])
    expect(upstream.count('resolve')).toBe(2)
  })

  it('is answered from what is here where it is immutable, or nobody is to be asked', async () => {
    const { upstream, registry, offline, settings, cache } = given()
    const one = upstream.addManifest('app', { one: 1 }, 'latest')
    await pulled(registry)
    await cache.metadata.repositories.create('hub/app', { createdAt: 1 })
    await settings.change('hub/app', (before) => ({ ...before, tagMutability: 'IMMUTABLE' }))
    upstream.addManifest('app', { next: 1 }, 'latest')
    expect(await askedNow(registry)).toBe(one.descriptor.digest)
    expect(await askedNow(offline())).toBe(one.descriptor.digest)
    expect(methods(upstream)).toEqual(['manifest'])
  })
})

describe('an outlook', () => {
  it('asks nobody, and counts as no use', async () => {
    const uses: Digest[] = []
    const { upstream, registry, cache, clock } = given()
    const one = upstream.addManifest('app', { one: 1 }, 'latest')
    await pulled(registry)
    cache.uses.note = (digest) => void uses.push(digest)
    const { digest } = one.descriptor
    expect(await registry.outlook(latest)).toEqual({ asks: 'nobody', digest, checkedAt: clock.now })
    clock.now += minute
    expect(await registry.outlook(latest)).toEqual({ asks: 'first', digest, checkedAt: clock.now - minute })
    expect(await registry.outlook({ repository: 'hub/app', digest })).toEqual({ asks: 'nobody', digest })
    expect(await registry.outlook({ repository: 'hub/app', tag: 'other' })).toEqual({ asks: 'first' })
    expect([uses, methods(upstream)]).toEqual([[], ['manifest']])
    await registry.resolve(latest)
    expect(uses).toContain(digest)
  })

  it('tells why upstream is not asked, and until when', async () => {
    const { clock, upstream, registry } = given()
    const one = upstream.addManifest('app', { one: 1 }, 'latest')
    await pulled(registry)
    clock.now += minute
    upstream.failure = unavailable('down')
    await pulled(registry)
    const { digest } = one.descriptor
    const againAt = clock.now + 10_000
    expect(await registry.outlook(latest)).toMatchObject({ asks: 'nobody', digest, error: upstream.failure, againAt })
    upstream.failure = undefined
    const other = { repository: 'hub/app', tag: 'other' }
    await expect(registry.manifest(other)).rejects.toSatisfy(kind('unknown'))
    const refused = await registry.outlook(other)
    expect(refused).toMatchObject({ asks: 'nobody', error: { kind: 'unknown' } })
    expect(refused.againAt).toBeGreaterThan(clock.now)
    expect(refused.digest).toBeUndefined()
  })
})
