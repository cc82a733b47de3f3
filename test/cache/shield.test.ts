import { describe, expect, it } from 'vitest'
import { denied, manifestUnknown, throttled, unavailable } from '../../src/oci/errors.ts'
import type { Reference } from '../../src/oci/reference.ts'
import type { Registry } from '../../src/oci/registry.ts'
import { eventually } from '../support/eventually.ts'
import { given } from './given.ts'
import { ScriptedRegistry } from './scripted-registry.ts'

const latest = { repository: 'hub/app', tag: 'latest' }
const minute = 60_000

/** What a client gets of a tag. */
async function pulled(registry: Registry, reference: Reference = latest) {
  const { descriptor, outcome } = await registry.manifest(reference)
  return { digest: descriptor.digest, ...outcome }
}

/** A cached tag that is stale by now, under a rule that lets it pass for ten minutes. */
async function stale(staleWhileRevalidateMs = 10 * minute) {
  const ground = given({ staleWhileRevalidateMs, negativeTtlMs: 0 })
  const old = ground.upstream.addManifest('app', { old: 1 }, 'latest').descriptor.digest
  await ground.registry.manifest(latest)
  ground.upstream.calls.length = 0
  ground.clock.now += minute
  return { ...ground, old }
}

describe('a tag that may be stale while it is checked', () => {
  it('is served at once, checked once behind that, and fresh then', async () => {
    const { upstream, registry, old } = await stale()
    const next = upstream.addManifest('app', { next: 1 }, 'latest').descriptor.digest
    const gate = Promise.withResolvers<void>()
    upstream.gate = gate.promise
    for (let pull = 0; pull < 3; pull++) {
      const got = await pulled(registry)
      expect(got).toMatchObject({ digest: old, cache: 'stale', reason: 'revalidating' })
      expect(got.ttlMs).toBeLessThan(0)
    }
    gate.resolve()
    await eventually(async () => expect(await pulled(registry)).toMatchObject({ digest: next, cache: 'hit' }))
    expect(upstream.calls.map(({ method }) => method)).toEqual(['resolve', 'manifest'])
  })

  it('is checked behind a HEAD without fetching what it moved to', async () => {
    const { clock, upstream, registry, old } = await stale()
    const next = upstream.addManifest('app', { next: 1 }, 'latest').descriptor.digest
    expect((await registry.resolve(latest)).descriptor.digest).toBe(old)
    await eventually(async () => expect((await registry.resolve(latest)).descriptor.digest).toBe(next))
    expect(upstream.calls.map(({ method }) => method)).toEqual(['resolve'])
    const third = upstream.addManifest('app', { third: 1 }, 'latest').descriptor.digest
    clock.now += minute
    expect((await registry.resolve(latest)).descriptor.digest).toBe(third) // only what is stored is served meanwhile
  })

  it('is checked first once it is older than that', async () => {
    const { clock, upstream, registry } = await stale()
    const next = upstream.addManifest('app', { next: 1 }, 'latest').descriptor.digest
    clock.now += 10 * minute
    expect(await pulled(registry)).toMatchObject({ digest: next, cache: 'miss' })
  })

  it('is checked first under a rule that does not say so', async () => {
    const { upstream, registry } = await stale(0)
    const next = upstream.addManifest('app', { next: 1 }, 'latest').descriptor.digest
    expect(await pulled(registry)).toMatchObject({ digest: next, cache: 'miss' })
  })

  it('ends for whoever leaves, not for the check', async () => {
    const { cache, upstream, registry } = await stale()
    const next = upstream.addManifest('app', { next: 1 }, 'latest').descriptor.digest
    const gate = Promise.withResolvers<void>()
    upstream.gate = gate.promise
    const leaving = new AbortController()
    await registry.manifest(latest, { signal: leaving.signal })
    leaving.abort()
    gate.resolve()
    await eventually(async () => expect(await cache.blobs.stat(next)).toBeDefined())
    await eventually(async () => expect(await pulled(registry)).toMatchObject({ digest: next, cache: 'hit' }))
    expect(upstream.calls.map(({ method }) => method)).toEqual(['resolve', 'manifest'])
  })

  it('says why it is stale where upstream could not be asked, and asks again after the pause', async () => {
    const { clock, upstream, registry, old } = await stale()
    upstream.failure = unavailable('down')
    expect((await pulled(registry)).reason).toBe('revalidating')
    await eventually(async () =>
      expect(await pulled(registry)).toMatchObject({ digest: old, cache: 'stale', reason: 'unavailable' }),
    )
    expect(upstream.calls).toHaveLength(1)
    upstream.failure = undefined
    clock.now += 10_000
    expect((await pulled(registry)).reason).toBe('revalidating')
    await eventually(async () => expect((await pulled(registry)).cache).toBe('hit'))
  })

  it.each([
    ['gone', manifestUnknown('app', 'latest')],
    ['refused', denied('no')],
  ])('is %s for all from when upstream said so until it says otherwise', async (_, failure) => {
    const { clock, upstream, registry } = await stale()
    upstream.failure = failure
    expect((await pulled(registry)).reason).toBe('revalidating')
    await eventually(() => expect(registry.manifest(latest)).rejects.toMatchObject({ kind: failure.kind }))
    await expect(registry.manifest(latest)).rejects.toMatchObject({ kind: failure.kind })
    upstream.failure = undefined
    expect((await pulled(registry)).cache).toBe('revalidated')
    clock.now += minute
    expect((await pulled(registry)).reason).toBe('revalidating')
  })
})

/** An upstream that keeps what is left of its quota for what its caller has not got. */
class SparingRegistry extends ScriptedRegistry {
  override async resolve(...[reference, pull]: Parameters<ScriptedRegistry['resolve']>) {
    if (pull?.check) throw throttled('kept')
    return super.resolve(reference, pull)
  }

  override async referrers(...[repository, subject, pull]: Parameters<ScriptedRegistry['referrers']>) {
    if (pull?.check) throw throttled('kept')
    return super.referrers(repository, subject, pull)
  }

  override async tags(...[repository, page, pull]: Parameters<ScriptedRegistry['tags']>) {
    if (pull?.check) throw throttled('kept')
    return super.tags(repository, page, pull)
  }
}

describe('an upstream that is short of quota', () => {
  it('is told of each question whether there is an answer that will do', async () => {
    const { clock, open } = given()
    const upstream = new SparingRegistry()
    const registry = open(upstream)
    const pushed = upstream.addManifest('app', { one: 1 }, 'latest', 'other')
    const { digest } = pushed.descriptor
    upstream.referrersOf.set(`app@${digest}`, [])
    await registry.manifest(latest)
    await registry.referrers('hub/app', digest)
    clock.now += minute
    upstream.calls.length = 0

    expect(await pulled(registry)).toMatchObject({ digest, cache: 'stale', reason: 'throttled' })
    expect((await registry.referrers('hub/app', digest)).outcome).toMatchObject({ cache: 'stale', reason: 'throttled' })
    expect((await registry.tags('hub/app')).outcome).toMatchObject({ cache: 'stale', reason: 'throttled' })
    expect(upstream.calls).toEqual([])
    expect((await pulled(registry, { repository: 'hub/app', tag: 'other' })).cache).toBe('miss')
    expect((await registry.resolve({ repository: 'hub/app', digest })).outcome?.cache).toBe('hit')
  })
})
