import { describe, expect, it } from 'vitest'
import { MemoryStore } from '../../src/blobs/memory.ts'
import { ManifestMemory } from '../../src/cache/manifest-memory.ts'
import { isKind, unavailable } from '../../src/oci/errors.ts'
import { given } from './given.ts'

const latest = { repository: 'hub/app', tag: 'latest' }
const minute = 60_000
const isUnavailable = (error: unknown) => isKind(error, 'unavailable')

/** A store that can be full. */
class FullStore extends MemoryStore {
  full = false

  override async create(algorithm: 'sha256' | 'sha512') {
    if (this.full) throw new Error('ENOSPC')
    return super.create(algorithm)
  }
}

describe('a manifest that cannot be stored', () => {
  it('reaches its client, and moves no tag to where nothing is', async () => {
    const blobs = new FullStore()
    const { clock, upstream, registry } = given({}, { blobs })
    const old = upstream.addManifest('app', { old: 1 }, 'latest')
    await registry.manifest(latest)
    const next = upstream.addManifest('app', { next: 1 }, 'latest')
    blobs.full = true
    clock.now += minute
    expect((await registry.manifest(latest)).bytes).toEqual(next.bytes)
    expect((await registry.manifest({ ...latest, digest: next.descriptor.digest })).bytes).toEqual(next.bytes)
    clock.now += minute
    upstream.failure = unavailable('down')
    const stale = await registry.manifest(latest)
    expect(stale.outcome?.cache).toBe('stale')
    expect(stale.bytes).toEqual(old.bytes)
  })

  it('moves no tag where its stored bytes went and only memory has it', async () => {
    const blobs = new FullStore()
    const { cache, clock, upstream, registry } = given({}, { blobs })
    const next = upstream.addManifest('app', { next: 1 })
    await registry.manifest({ repository: 'hub/app', digest: next.descriptor.digest })
    const old = upstream.addManifest('app', { old: 1 }, 'latest')
    await registry.manifest(latest)
    await blobs.delete(next.descriptor.digest)
    cache.memory.delete(next.descriptor.digest)
    blobs.full = true
    upstream.addManifest('app', { next: 1 }, 'latest')
    clock.now += minute
    expect((await registry.manifest(latest)).bytes).toEqual(next.bytes)
    Object.assign(cache.memory, { get: () => undefined }) // as after a restart
    clock.now += minute
    upstream.failure = unavailable('down')
    expect((await registry.manifest(latest)).bytes).toEqual(old.bytes)
  })
})

describe('a stored manifest that rotted while its upstream is down', () => {
  it('is not said to be unknown', async () => {
    const blobs = new MemoryStore()
    const { clock, upstream, registry } = given({}, { blobs, memory: new ManifestMemory(0) })
    const { descriptor } = upstream.addManifest('app', { one: 1 }, 'latest')
    await registry.manifest(latest)
    blobs.open = async () => undefined
    clock.now += minute
    upstream.failure = unavailable('down')
    await expect(registry.manifest(latest)).rejects.toSatisfy(isUnavailable)
    expect((await registry.resolve(latest)).descriptor).toEqual(descriptor)
  })
})
