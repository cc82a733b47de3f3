import { describe, expect, it } from 'vitest'
import { Holds } from '../../src/async/holds.ts'
import { BoundedStore, StoreFull } from '../../src/blobs/bounded.ts'
import { MemoryStore } from '../../src/blobs/memory.ts'
import { Evictor } from '../../src/cache/evict.ts'
import { Fills } from '../../src/cache/fills.ts'
import { ManifestMemory } from '../../src/cache/manifest-memory.ts'
import { Uses } from '../../src/cache/uses.ts'
import { MemoryMetadata } from '../../src/metadata/memory.ts'
import type { Digest } from '../../src/oci/digest.ts'
import type { Registry } from '../../src/oci/registry.ts'
import type { Rule } from '../../src/rules/rule.ts'
import { collect } from '../support/collect.ts'
import { eventually } from '../support/eventually.ts'
import { given, rule } from './given.ts'
import type { ScriptedRegistry } from './scripted-registry.ts'

const layerSize = 100_000

/** A cache that holds about `images` images of one layer each. */
function bounded(images: number, change: Partial<Rule> = {}) {
  const clock = { now: 1_000_000 }
  const metadata = new MemoryMetadata()
  const memory = new ManifestMemory(1024 * 1024)
  const bounds = { maxSize: images * (layerSize + 1000), lacking: async () => -1e12 }
  const blobs = new BoundedStore(new MemoryStore(), bounds, async (excess) => {
    await evictor.run({ excess })
  })
  const uses = new Uses(blobs, () => clock.now)
  const ruleOf = () => ({ ...rule, ...change })
  const holds = new Holds<Digest>()
  const evictor = new Evictor({ blobs, metadata, memory, uses, holds, clock: () => clock.now, ruleOf })
  const parts = { blobs, metadata, memory, uses, clock: () => clock.now, fills: new Fills(blobs) }
  return { ...given(change, parts), clock, blobs, metadata, holds, evictor }
}

function addImage(upstream: ScriptedRegistry, repository: string, ...shared: Digest[]) {
  const layer = upstream.addBlob(repository, Buffer.alloc(layerSize, repository))
  const needs = [layer, ...shared].map((digest) => ({ mediaType: 'l', digest, size: layerSize }))
  return { layer, manifest: upstream.addManifest(repository, { layers: needs }, 'latest') }
}

async function pull(registry: Registry, repository: string, ...layers: Digest[]) {
  const { outcome } = await registry.manifest({ repository: `hub/${repository}`, tag: 'latest' })
  for (const layer of layers) await collect((await registry.blob(`hub/${repository}`, layer)).body)
  return outcome?.cache
}

describe('a store within bounds', () => {
  it('never holds more than its high mark, and keeps what was used last', async () => {
    const { cache, clock, blobs, metadata, upstream, registry } = bounded(3)
    const names = ['one', 'two', 'three', 'four', 'five']
    for (const name of names) {
      clock.now += 1_000_000
      const { layer } = addImage(upstream, name)
      await pull(registry, name, layer)
      await eventually(async () => expect(cache.fills.size).toBe(0))
      expect(blobs.usage.stored).toBeLessThanOrEqual(3 * (layerSize + 1000))
    }
    const held: string[] = []
    for await (const [key] of metadata.links.entries()) held.push(key.split('@')[0] ?? '')
    expect(held).toContain('hub/five')
    expect(held).not.toContain('hub/one')
    expect(await metadata.repositories.get('hub/one')).toBeDefined()
    upstream.calls.length = 0
    expect(await pull(registry, 'five')).not.toBe('miss')
    expect(await pull(registry, 'one')).toBe('miss')
  })

  it('says that there is no room where somebody is at work with all that is there', async () => {
    const { cache, blobs, holds, upstream, registry } = bounded(2)
    const one = addImage(upstream, 'one')
    await pull(registry, 'one', one.layer)
    await eventually(async () => expect(cache.fills.size).toBe(0))
    const hold = holds.begin()
    hold.add(one.layer)
    await expect(blobs.makeRoom(2 * layerSize)).rejects.toThrow(StoreFull)
    expect(await blobs.stat(one.layer)).toBeDefined()
    hold[Symbol.dispose]()
    await blobs.makeRoom(2 * layerSize)
    expect(await blobs.stat(one.layer)).toBeUndefined()
    expect(blobs.usage.expected).toBe(0)
  })

  it('G103: keeps a blob that an image which stays needs', async () => {
    const { cache, clock, upstream, registry, evictor } = bounded(10)
    const shared = upstream.addBlob('old', Buffer.alloc(layerSize, 'shared'))
    upstream.addBlob('new', Buffer.alloc(layerSize, 'shared'))
    const old = addImage(upstream, 'old', shared)
    const next = addImage(upstream, 'new', shared)
    await pull(registry, 'old', old.layer, shared)
    clock.now += 1_000_000
    await pull(registry, 'new', next.layer, shared)
    await eventually(async () => expect(cache.fills.size).toBe(0))
    await evictor.run({ excess: 1 })
    const before = upstream.count('blob')
    expect((await registry.blob('hub/new', shared)).outcome?.cache).toBe('hit')
    expect(upstream.count('blob')).toBe(before)
    expect(await cache.blobs.stat(old.layer)).toBeUndefined()
  })

  it('keeps what its rule pins', async () => {
    const { cache, clock, blobs, upstream, registry, evictor } = bounded(10, { pin: ['kept:lat*'] })
    const kept = addImage(upstream, 'kept')
    await pull(registry, 'kept', kept.layer)
    clock.now += 1_000_000
    const other = addImage(upstream, 'other')
    await pull(registry, 'other', other.layer)
    await eventually(async () => expect(cache.fills.size).toBe(0))
    await evictor.run({ excess: 1e9 })
    expect(await blobs.stat(kept.layer)).toBeDefined()
    expect(await blobs.stat(other.layer)).toBeUndefined()
  })

  it('forgets what points to a blob that went, also where no image is known to need it', async () => {
    const { cache, clock, metadata, upstream, registry, evictor } = bounded(10)
    const { layer } = addImage(upstream, 'one')
    upstream.addBlob('loose', Buffer.alloc(layerSize, 'one'))
    const stray = upstream.addBlob('loose', Buffer.alloc(layerSize, 'stray'))
    await pull(registry, 'one', layer)
    for (const digest of [layer, stray]) await collect((await registry.blob('hub/loose', digest)).body)
    await eventually(async () => expect(cache.fills.size).toBe(0))
    clock.now += 1
    await evictor.run({ excess: 1e9 })
    const keys: string[] = []
    for (const collection of [metadata.links, metadata.tags]) {
      for await (const [key] of collection.entries()) keys.push(key)
    }
    expect(keys).toEqual([])
  })

  it('G91: passes on what it has no room for, and stores nothing of it', async () => {
    const { cache, blobs, upstream, registry } = bounded(2, { pin: ['*'] })
    for (const name of ['one', 'two', 'three']) {
      const { layer } = addImage(upstream, name)
      await pull(registry, name, layer)
      await eventually(async () => expect(cache.fills.size).toBe(0))
    }
    expect(blobs.usage.stored).toBeLessThanOrEqual(2 * (layerSize + 1000))
    expect(blobs.usage.expected).toBe(0)
    const huge = upstream.addBlob('one', Buffer.alloc(10 * layerSize, 'huge'))
    const { body } = await registry.blob('hub/one', huge)
    expect((await collect(body)).length).toBe(10 * layerSize)
    expect(await blobs.stat(huge)).toBeUndefined()
    expect(await pull(registry, 'one')).toBe('hit')
  })

  it('G102: lets a reader finish a blob that is evicted under it', async () => {
    const { cache, clock, blobs, upstream, registry, evictor } = bounded(10)
    const { layer } = addImage(upstream, 'one')
    await pull(registry, 'one', layer)
    await eventually(async () => expect(cache.fills.size).toBe(0))
    const read = await registry.blob('hub/one', layer)
    clock.now += 1
    await evictor.run({ excess: 1e9 })
    expect(await blobs.stat(layer)).toBeUndefined()
    expect((await collect(read.body)).equals(Buffer.alloc(layerSize, 'one'))).toBe(true)
  })

  it('counts what it held before, and what it replaces only once', async () => {
    const inner = new MemoryStore()
    const put = async (store: MemoryStore | BoundedStore, text: string) => {
      await using writer = await store.create('sha256', text.length)
      await writer.write(Buffer.from(text))
      await writer.commit({ digest: writer.digest() })
    }
    await put(inner, 'before')
    const blobs = new BoundedStore(inner, { maxSize: 1000, lacking: async () => -1e12 }, async () => {})
    await blobs.measured
    expect(blobs.usage).toEqual({ stored: 6, objects: 1, expected: 0, degraded: false })
    await put(blobs, 'before')
    await put(blobs, 'after')
    expect(blobs.usage).toEqual({ stored: 11, objects: 2, expected: 0, degraded: false })
  })

  it('counts what is put aside no more, also while it still counts what was there before', async () => {
    const inner = new MemoryStore()
    const digests: Digest[] = []
    for (const text of ['a', 'bb', 'ccc']) {
      await using writer = await inner.create('sha256')
      await writer.write(Buffer.from(text))
      digests.push((await writer.commit({ digest: writer.digest() })).digest)
    }
    const [first, second, third] = digests as [Digest, Digest, Digest]
    const listing = Promise.withResolvers<void>()
    const list = inner.list.bind(inner)
    inner.list = async function* () {
      let given = 0
      for await (const info of list()) {
        yield info
        if (++given === 2) await listing.promise
      }
    }
    const blobs = new BoundedStore(inner, { maxSize: 1000, lacking: async () => -1e12 }, async () => {})
    await eventually(async () => expect(blobs.usage.objects).toBe(2))
    expect(await blobs.quarantine(first)).toBe(true)
    expect(await blobs.quarantine(third)).toBe(true)
    listing.resolve()
    await blobs.measured
    expect(blobs.usage).toMatchObject({ stored: 2, objects: 1 })
    expect(await blobs.quarantine(second)).toBe(true)
    expect(await blobs.quarantine(second)).toBe(false)
    expect(blobs.usage).toMatchObject({ stored: 0, objects: 0 })
  })

  it('leaves free on the volume what is to stay free', async () => {
    let lacking = -10
    const blobs = new BoundedStore(new MemoryStore(), { maxSize: 1000, lacking: async () => lacking }, async () => {})
    await (await blobs.create('sha256', 10))[Symbol.asyncDispose]()
    lacking = -9
    await expect(blobs.create('sha256', 10)).rejects.toMatchObject({ name: 'StoreFull' })
    expect(blobs.usage.expected).toBe(0)
  })
})
