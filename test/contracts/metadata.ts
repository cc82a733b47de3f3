import { describe, expect, it } from 'vitest'
import type { KeyRange, Link, Metadata } from '../../src/metadata/metadata.ts'
import type { Digest } from '../../src/oci/digest.ts'

const link = (size: number): Link => ({ size, upstream: 'https://r.example.com', linkedAt: 0 })

/** What every implementation of `Metadata` keeps to. `open` gives an empty one. */
export function metadataContract(name: string, open: () => Promise<Metadata>): void {
  describe(`${name} keeps the contract of Metadata`, () => {
    const listed = async (metadata: Metadata, range?: KeyRange) => {
      const keys: string[] = []
      for await (const [key] of metadata.links.entries(range)) keys.push(key)
      return keys
    }

    it('gives back what was set, and nothing for what was not', async () => {
      await using metadata = await open()
      await metadata.links.set('a', link(1))
      await metadata.links.set('a', link(2))
      expect(await metadata.links.get('a')).toEqual(link(2))
      expect(await metadata.links.get('b')).toBeUndefined()
      expect(await metadata.tags.get('a')).toBeUndefined()
    })

    it('keeps what was given, not the object', async () => {
      await using metadata = await open()
      const value = link(1)
      await metadata.links.set('a', value)
      value.size = 2
      const got = await metadata.links.get('a')
      expect(got?.size).toBe(1)
      if (got) got.size = 3
      expect((await metadata.links.get('a'))?.size).toBe(1)
    })

    it('creates only where nothing is', async () => {
      await using metadata = await open()
      const created = await Promise.all([1, 2, 3].map((size) => metadata.links.create('a', link(size))))
      expect(created.filter(Boolean)).toHaveLength(1)
      expect((await metadata.links.get('a'))?.size).toBe(created.indexOf(true) + 1)
    })

    it('tells whether what it deletes was there', async () => {
      await using metadata = await open()
      await metadata.links.set('a', link(1))
      expect([await metadata.links.delete('a'), await metadata.links.delete('a')]).toEqual([true, false])
      expect(await metadata.links.get('a')).toBeUndefined()
      expect(await metadata.links.create('a', link(2))).toBe(true)
    })

    it('lists in byte order, by prefix, after a key, up to a limit', async () => {
      await using metadata = await open()
      for (const key of ['b', 'a/c', 'a', 'a-b', 'A', 'a/b', 'a0', '_']) await metadata.links.set(key, link(1))
      expect(await listed(metadata)).toEqual(['A', '_', 'a', 'a-b', 'a/b', 'a/c', 'a0', 'b'])
      expect(await listed(metadata, { prefix: 'a/' })).toEqual(['a/b', 'a/c'])
      expect(await listed(metadata, { prefix: 'a', after: 'a/' })).toEqual(['a/b', 'a/c', 'a0'])
      expect(await listed(metadata, { prefix: 'a/', after: 'A' })).toEqual(['a/b', 'a/c'])
      expect(await listed(metadata, { prefix: 'a/', after: 'a/b', limit: 1 })).toEqual(['a/c'])
      expect(await listed(metadata, { after: 'b' })).toEqual([])
      expect(await listed(metadata, { limit: 2 })).toEqual(['A', '_'])
      expect(await listed(metadata, { limit: 0 })).toEqual([])
      expect(await listed(metadata, { prefix: 'z' })).toEqual([])
    })

    it('finds the tags that point to a digest, of one repository', async () => {
      await using metadata = await open()
      const digest = `sha256:${'a'.repeat(64)}` as const
      const tag = (target: Digest) => ({ digest: target, upstream: '', checkedAt: 0, movedAt: 0 })
      for (const key of ['r:b', 'r:a', 'r/s:c', 'r-:d', 'r:e']) await metadata.tags.set(key, tag(digest))
      await metadata.tags.set('r:e', tag('sha256:other'))
      await metadata.tags.set('r:f', tag('sha256:other'))
      await metadata.tags.delete('r:b')
      expect(await metadata.tagsOf('r', digest)).toEqual(['a'])
      expect(await metadata.tagsOf('r/s', digest)).toEqual(['c'])
      expect(await metadata.tagsOf('r', 'sha256:other')).toEqual(['e', 'f'])
      expect(await metadata.tagsOf('s', digest)).toEqual([])
    })

    it('lists many, while others write', async () => {
      await using metadata = await open()
      const keys = Array.from({ length: 1000 }, (_, n) => `k/${String(n).padStart(4, '0')}`)
      for (const key of keys) await metadata.links.set(key, link(1))
      const seen: string[] = []
      for await (const [key] of metadata.links.entries({ prefix: 'k/' })) {
        seen.push(key)
        await metadata.links.delete(key)
        await metadata.tags.set(key, { digest: 'sha256:0', upstream: '', checkedAt: 0, movedAt: 0 })
      }
      expect(seen).toEqual(keys)
      expect(await listed(metadata)).toEqual([])
    })
  })
}
