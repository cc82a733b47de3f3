import { describe, expect, it } from 'vitest'
import { denied, isKind, type Kind, throttled, unavailable } from '../../src/oci/errors.ts'
import type { Manifest, Registry } from '../../src/oci/registry.ts'
import { given } from './given.ts'

const latest = { repository: 'hub/app', tag: 'latest' }
const kind = (expected: Kind) => (error: unknown) => isKind(error, expected)
const byDigest = ({ descriptor }: Manifest) => ({ repository: 'hub/app', digest: descriptor.digest })
const minute = 60_000

async function pulled(registry: Registry) {
  const { descriptor, outcome } = await registry.manifest(latest)
  return { digest: descriptor.digest, cache: outcome?.cache, reason: outcome?.reason }
}

describe('a tag', () => {
  it('costs upstream one GET, and nothing while it is fresh', async () => {
    const { clock, upstream, registry } = given()
    const one = upstream.addManifest('app', { one: 1 }, 'latest')
    expect((await registry.manifest(latest)).bytes).toEqual(one.bytes)
    clock.now += minute - 1
    expect(await pulled(registry)).toMatchObject({ digest: one.descriptor.digest, cache: 'hit' })
    expect((await registry.resolve(latest)).descriptor).toEqual(one.descriptor)
    expect((await registry.manifest(byDigest(one))).outcome?.cache).toBe('hit')
    expect(upstream.calls).toHaveLength(1)
  })

  it('is asked for once by any number of clients, cold and stale', async () => {
    const { clock, upstream, registry } = given()
    upstream.addManifest('app', { one: 1 }, 'latest')
    await Promise.all(Array.from({ length: 5 }, () => registry.manifest(latest)))
    expect(upstream.calls.map(({ method }) => method)).toEqual(['manifest'])
    clock.now += minute
    const all = await Promise.all([...Array(5)].flatMap(() => [registry.manifest(latest), registry.resolve(latest)]))
    expect(all.every(({ outcome }) => outcome?.cache === 'revalidated')).toBe(true)
    expect(upstream.calls.map(({ method }) => method)).toEqual(['manifest', 'resolve'])
    clock.now += minute - 1
    expect((await pulled(registry)).cache).toBe('hit')
  })

  it('B31: moved upstream stays until its TTL and moves then; the old digest stays', async () => {
    const { clock, upstream, registry } = given()
    const old = upstream.addManifest('app', { old: 1 }, 'latest')
    await registry.manifest(latest)
    const next = upstream.addManifest('app', { next: 1 }, 'latest')
    clock.now += minute - 1
    expect((await pulled(registry)).digest).toBe(old.descriptor.digest)
    clock.now += 1
    expect(await pulled(registry)).toMatchObject({ digest: next.descriptor.digest, cache: 'miss' })
    expect((await registry.manifest(byDigest(old))).outcome?.cache).toBe('hit')
    expect(upstream.calls.map(({ method }) => method)).toEqual(['manifest', 'resolve', 'manifest'])
  })

  it('announced by HEAD and pulled by digest, as containerd does, outlives its upstream', async () => {
    const { clock, upstream, registry } = given()
    const one = upstream.addManifest('app', { one: 1 }, 'latest')
    expect((await registry.resolve(latest)).descriptor).toEqual(one.descriptor)
    expect((await registry.resolve(latest)).outcome?.cache).toBe('hit')
    await registry.manifest(byDigest(one))
    upstream.failure = unavailable('down')
    clock.now += 10 * minute
    expect(await pulled(registry)).toMatchObject({ digest: one.descriptor.digest, cache: 'stale' })
    expect(upstream.calls.map(({ method }) => method)).toEqual(['resolve', 'manifest', 'resolve'])
  })

  it.each(['unavailable', 'throttled'] as const)('B26: is served stale while upstream is %s', async (reason) => {
    const { clock, upstream, registry } = given()
    const one = upstream.addManifest('app', { one: 1 }, 'latest')
    await registry.manifest(latest)
    clock.now += minute
    upstream.failure = reason === 'throttled' ? throttled('later', { retryAfterMs: 100_000 }) : unavailable('down')
    expect(await pulled(registry)).toEqual({ digest: one.descriptor.digest, cache: 'stale', reason })
    const { outcome } = await registry.resolve(latest)
    expect(outcome).toMatchObject({ cache: 'stale', reason })
    expect(outcome?.ttlMs).toBeLessThan(0)
  })

  it('B26: is not asked about again before the time that upstream named', async () => {
    const { clock, upstream, registry } = given()
    upstream.addManifest('app', { one: 1 }, 'latest')
    await registry.manifest(latest)
    clock.now += minute
    upstream.failure = throttled('later', { retryAfterMs: 100_000 })
    await pulled(registry)
    upstream.failure = undefined
    clock.now += 99_999
    expect((await pulled(registry)).cache).toBe('stale')
    expect(upstream.calls).toHaveLength(2)
    clock.now += 1
    expect((await pulled(registry)).cache).toBe('revalidated')
  })

  it('waits a while after any failure before it is asked about again', async () => {
    const { clock, upstream, registry } = given()
    upstream.addManifest('app', { one: 1 }, 'latest')
    await registry.manifest(latest)
    clock.now += minute
    upstream.failure = unavailable('down')
    await pulled(registry)
    await pulled(registry)
    expect(upstream.calls).toHaveLength(2)
    upstream.failure = undefined
    clock.now += 10_000
    expect((await pulled(registry)).cache).toBe('revalidated')
  })

  it('falls back to what it was when the manifest that it moved to cannot be fetched', async () => {
    const { clock, upstream, registry } = given()
    const old = upstream.addManifest('app', { old: 1 }, 'latest')
    await registry.manifest(latest)
    const next = upstream.addManifest('app', { next: 1 }, 'latest')
    clock.now += minute
    upstream.failures.set('manifest', unavailable('down'))
    expect(await pulled(registry)).toMatchObject({ digest: old.descriptor.digest, cache: 'stale' })
    upstream.failures.clear()
    expect((await pulled(registry)).digest).toBe(next.descriptor.digest)
  })

  it('B34: moved on between the HEAD and the GET is what it points to then', async () => {
    const { clock, upstream, registry } = given()
    upstream.addManifest('app', { old: 1 }, 'latest')
    await registry.manifest(latest)
    clock.now += minute
    const gone = upstream.addManifest('app', { gone: 1 }, 'latest')
    await registry.resolve(latest)
    upstream.removeManifest('app', gone.descriptor.digest)
    const next = upstream.addManifest('app', { next: 1 }, 'latest')
    expect((await pulled(registry)).digest).toBe(next.descriptor.digest)
    expect((await pulled(registry)).cache).toBe('hit')
  })

  it('B29: gone upstream is unknown here, and its digest is not; with `keep` it stays', async () => {
    const { clock, upstream, registry, open } = given({ negativeTtlMs: 0 })
    const one = upstream.addManifest('app', { one: 1 }, 'latest')
    await registry.manifest(latest)
    upstream.removeTag('app', 'latest')
    clock.now += minute
    await expect(registry.manifest(latest)).rejects.toSatisfy(kind('unknown'))
    expect((await registry.manifest(byDigest(one))).outcome?.cache).toBe('hit')
    const keeping = open(upstream, { onUnknownTag: 'keep' })
    expect(await pulled(keeping)).toMatchObject({ digest: one.descriptor.digest, cache: 'stale', reason: 'unknown' })
    upstream.addManifest('app', { one: 1 }, 'latest')
    expect((await pulled(registry)).cache).toBe('revalidated')
  })

  it('that upstream refuses is refused here', async () => {
    const { clock, upstream, registry } = given()
    upstream.addManifest('app', { one: 1 }, 'latest')
    await registry.manifest(latest)
    clock.now += minute
    upstream.failure = denied('no')
    await expect(registry.manifest(latest)).rejects.toSatisfy(kind('denied'))
  })

  it('A2: that cannot be asked for is no unknown tag, and found once it can', async () => {
    const { upstream, registry } = given()
    upstream.addManifest('app', { one: 1 }, 'latest')
    upstream.failure = unavailable('down')
    await expect(registry.manifest(latest)).rejects.toSatisfy(kind('unavailable'))
    upstream.failure = undefined
    expect((await pulled(registry)).cache).toBe('miss')
  })

  it('B30: unknown upstream is asked for again only after the negative TTL', async () => {
    const { upstream, registry } = given()
    await expect(registry.manifest(latest)).rejects.toSatisfy(kind('unknown'))
    await expect(registry.manifest(latest)).rejects.toSatisfy(kind('unknown'))
    await expect(registry.resolve(latest)).rejects.toSatisfy(kind('unknown'))
    expect(upstream.calls).toHaveLength(1)
  })

  it('is as fresh as its pattern says', async () => {
    const ttls = [
      { pattern: 'v*', ttlMs: Number.POSITIVE_INFINITY },
      { pattern: '*', ttlMs: 0 },
    ]
    const { clock, upstream, registry } = given({ tagTtl: ttls })
    upstream.addManifest('app', { one: 1 }, 'latest', 'v1')
    const v1 = { repository: 'hub/app', tag: 'v1' }
    await registry.manifest(v1)
    await registry.manifest(latest)
    clock.now += 1000 * minute
    expect((await registry.manifest(v1)).outcome?.cache).toBe('hit')
    expect((await registry.manifest(latest)).outcome?.cache).toBe('revalidated')
    expect((await registry.manifest(latest)).outcome?.cache).toBe('revalidated')
  })

  it('H111: checked at a time that has not come yet is checked again', async () => {
    const { clock, upstream, registry } = given()
    upstream.addManifest('app', { one: 1 }, 'latest')
    await registry.manifest(latest)
    clock.now -= 365 * 24 * 60 * minute
    expect((await pulled(registry)).cache).toBe('revalidated')
  })

  it('is served without an upstream for as long as it is stored', async () => {
    const { clock, upstream, registry, offline } = given()
    const one = upstream.addManifest('app', { one: 1 }, 'latest')
    await expect(offline().manifest(latest)).rejects.toSatisfy(kind('unknown'))
    await registry.manifest(latest)
    clock.now += 1000 * minute
    expect(await pulled(offline())).toMatchObject({ digest: one.descriptor.digest, cache: 'hit' })
    expect((await offline().tags('hub/app')).tags).toEqual(['latest'])
    await expect(offline().tags('hub/none')).rejects.toSatisfy(kind('unknown'))
  })

  it('leaves no flight behind when its first client left', async () => {
    const { upstream, registry } = given()
    upstream.addManifest('app', { one: 1 }, 'latest')
    const gate = Promise.withResolvers<void>()
    upstream.gate = gate.promise
    const client = new AbortController()
    const first = registry.manifest(latest, { signal: client.signal })
    const second = registry.manifest(latest)
    client.abort(new Error('left'))
    await expect(first).rejects.toThrow('left')
    gate.resolve()
    expect((await second).outcome?.cache).toBe('collapsed')
    expect(upstream.calls).toHaveLength(1)
  })
})

describe('a manifest by digest', () => {
  it('F84: is shown to another repository once upstream says by HEAD that it has it', async () => {
    const { upstream, registry } = given()
    const one = upstream.addManifest('app', { one: 1, layers: [] }, 'latest')
    await registry.manifest(latest)
    const other = { repository: 'hub/other', digest: one.descriptor.digest }
    await expect(registry.manifest(other)).rejects.toSatisfy(kind('unknown'))
    upstream.addManifest('third', { one: 1, layers: [] })
    const third = { repository: 'hub/third', digest: one.descriptor.digest }
    expect((await registry.manifest(third)).bytes).toEqual(one.bytes)
    expect(upstream.count('manifest')).toBe(1)
    expect(upstream.count('resolve')).toBe(2)
  })

  it('is fetched once by any number of clients', async () => {
    const { upstream, registry } = given()
    const one = upstream.addManifest('app', { one: 1 })
    await Promise.all(Array.from({ length: 9 }, () => registry.manifest(byDigest(one))))
    expect(upstream.calls).toHaveLength(1)
  })

  it('G96: whose stored bytes rotted is fetched again', async () => {
    const { cache, upstream, registry } = given()
    const one = upstream.addManifest('app', { one: 1 })
    await registry.manifest(byDigest(one))
    const { digest, size } = one.descriptor
    cache.blobs.open = async () => ({
      size,
      storedAt: 0,
      body: () => ({
        begin: async () => {},
        sendTo: async (sink) => sink.write(Buffer.alloc(size)),
        [Symbol.asyncDispose]: async () => {},
      }),
      [Symbol.asyncDispose]: async () => {},
    })
    cache.memory.set(digest, Buffer.alloc(0))
    Object.assign(cache.memory, { get: () => undefined })
    expect((await registry.manifest(byDigest(one))).bytes).toEqual(one.bytes)
    expect(upstream.count('manifest') + upstream.count('resolve')).toBeGreaterThan(1)
  })
})
