import { describe, expect, it } from 'vitest'
import type { BlobStore } from '../../src/blobs/blob-store.ts'
import { type Algorithm, digestOf } from '../../src/oci/digest.ts'
import { isKind } from '../../src/oci/errors.ts'
import { collect } from '../support/collect.ts'

/** What every blob store keeps to. `open` gives an empty one each time. */
export function blobStoreContract(open: () => Promise<BlobStore>): void {
  async function put(store: BlobStore, text: string, algorithm: Algorithm = 'sha256') {
    const bytes = Buffer.from(text)
    await using writer = await store.create(algorithm, bytes.length)
    await writer.write(bytes)
    return await writer.commit({ digest: digestOf(bytes, algorithm), size: bytes.length })
  }

  describe('a blob store', () => {
    it.each(['sha256', 'sha512'] as const)('gives back what was committed, by its %s digest', async (algorithm) => {
      const store = await open()
      const { digest, size } = await put(store, 'hello', algorithm)
      expect(size).toBe(5)
      expect((await store.stat(digest))?.size).toBe(5)
      const blob = await store.open(digest)
      expect(blob?.size).toBe(5)
      if (blob) expect((await collect(blob.body())).toString()).toBe('hello')
    })

    it('gives ranges', async () => {
      const store = await open()
      const { digest } = await put(store, '0123456789')
      const read = async (start: number, end: number) => {
        const blob = await store.open(digest)
        return blob && (await collect(blob.body({ start, end }))).toString()
      }
      expect(await read(0, 0)).toBe('0')
      expect(await read(3, 5)).toBe('345')
      expect(await read(9, 9)).toBe('9')
    })

    it('holds the empty blob', async () => {
      const store = await open()
      const { digest } = await put(store, '')
      const blob = await store.open(digest)
      expect(blob?.size).toBe(0)
      if (blob) expect(await collect(blob.body())).toHaveLength(0)
    })

    it('does not know what was not committed', async () => {
      const store = await open()
      const digest = digestOf(Buffer.from('hello'))
      expect(await store.stat(digest)).toBeUndefined()
      expect(await store.open(digest)).toBeUndefined()
      {
        await using writer = await store.create('sha256', 0)
        await writer.write(Buffer.from('hello'))
        expect(await store.stat(digest)).toBeUndefined()
      }
      expect(await store.stat(digest)).toBeUndefined()
    })

    it('refuses to commit other bytes or another size than expected', async () => {
      const store = await open()
      const digest = digestOf(Buffer.from('hello'))
      for (const [text, size] of [
        ['hellO', 5],
        ['hello', 6],
      ] as const) {
        await using writer = await store.create('sha256', 0)
        await writer.write(Buffer.from(text))
        await expect(writer.commit({ digest, size })).rejects.toSatisfy((error) => isKind(error, 'corrupt'))
      }
      expect(await store.stat(digest)).toBeUndefined()
    })

    it('reads back what is being written, and after the commit', async () => {
      const store = await open()
      await using writer = await store.create('sha256', 0)
      await writer.write(Buffer.from('hello '))
      const target = new Uint8Array(5)
      expect(await writer.read(target, 1)).toBe(5)
      expect(Buffer.from(target).toString()).toBe('ello ')
      await writer.write(Buffer.from('world'))
      expect(writer.written).toBe(11)
      await writer.commit({ digest: writer.digest(), size: 11 })
      expect(await writer.read(target, 6)).toBe(5)
      expect(Buffer.from(target).toString()).toBe('world')
    })

    it('lets an open blob be read after its deletion', async () => {
      const store = await open()
      const { digest } = await put(store, 'hello')
      const blob = await store.open(digest)
      expect(await store.delete(digest)).toBe(true)
      expect(await store.delete(digest)).toBe(false)
      expect(await store.stat(digest)).toBeUndefined()
      if (blob) expect((await collect(blob.body())).toString()).toBe('hello')
    })

    it('puts a blob aside, and lets those who have it open read on', async () => {
      const store = await open()
      const { digest } = await put(store, 'hello')
      const blob = await store.open(digest)
      expect(await store.quarantine(digest)).toBe(true)
      expect(await store.quarantine(digest)).toBe(false)
      expect(await store.stat(digest)).toBeUndefined()
      expect(await store.open(digest)).toBeUndefined()
      if (blob) expect((await collect(blob.body())).toString()).toBe('hello')
    })

    it('does not put aside what has taken the place of what was found', async () => {
      const store = await open()
      const { digest } = await put(store, 'hello')
      await using found = await store.open(digest)
      await put(store, 'hello')
      expect(await store.quarantine(digest, found)).toBe(false)
      expect(await store.stat(digest)).toBeDefined()
      await using again = await store.open(digest)
      expect(await store.quarantine(digest, again)).toBe(true)
    })

    it('begins to read before it sends, and sends all the same', async () => {
      const store = await open()
      const { digest } = await put(store, 'hello')
      await using blob = await store.open(digest)
      const body = blob?.body()
      await body?.begin()
      if (body) expect((await collect(body)).toString()).toBe('hello')
    })

    it('takes the same blob twice', async () => {
      const store = await open()
      const { digest } = await put(store, 'hello')
      await put(store, 'hello')
      expect((await store.stat(digest))?.size).toBe(5)
    })

    it('lists what it holds', async () => {
      const store = await open()
      const digests = [(await put(store, 'a')).digest, (await put(store, 'b', 'sha512')).digest]
      const listed = []
      for await (const { digest } of store.list()) listed.push(digest)
      expect(listed.sort()).toEqual(digests.sort())
    })

    it('ends a body when its signal aborts', async () => {
      const store = await open()
      const { digest } = await put(store, 'hello')
      await using blob = await store.open(digest)
      const reason = new Error('gone')
      await expect(blob?.body().sendTo({ write: () => {} }, AbortSignal.abort(reason))).rejects.toBe(reason)
    })
  })
}
