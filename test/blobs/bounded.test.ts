import { expect, it } from 'vitest'
import { BoundedStore } from '../../src/blobs/bounded.ts'
import { MemoryStore } from '../../src/blobs/memory.ts'
import { digestOf } from '../../src/oci/digest.ts'

async function put(store: MemoryStore | BoundedStore, bytes: Uint8Array): Promise<void> {
  await using writer = await store.create('sha256', bytes.length)
  await writer.write(bytes)
  await writer.commit({ digest: writer.digest() })
}

it('takes nothing before it counted what was there, and no more than there is room for', async () => {
  const inner = new MemoryStore()
  await put(inner, Buffer.alloc(900, 1))
  const blobs = new BoundedStore(inner, { maxSize: 1000, lacking: async () => -1e12 }, async () => {})
  await expect(put(blobs, Buffer.alloc(200, 2))).rejects.toMatchObject({ name: 'StoreFull' })
  await put(blobs, Buffer.alloc(100, 3))
  expect(blobs.usage).toMatchObject({ stored: 1000, objects: 2 })
})

it('evicts nothing for what would not fit all the same', async () => {
  const inner = new MemoryStore()
  await put(inner, Buffer.alloc(100, 1))
  const asked: number[] = []
  const makeRoom = async (bytes: number) => void asked.push(bytes)
  const blobs = new BoundedStore(inner, { maxSize: 1e9, lacking: async () => 50 }, makeRoom)
  await expect(blobs.create('sha256', 60)).rejects.toMatchObject({ name: 'StoreFull' })
  expect(asked).toEqual([])
  await expect(blobs.create('sha256', 40)).rejects.toMatchObject({ name: 'StoreFull' })
  expect(asked).toContain(90)
})

it('makes room for all of a blob before the volume lacks it, counting once what is written already', async () => {
  const inner = new MemoryStore()
  await put(inner, Buffer.alloc(500, 1))
  let free = 100
  const asked: number[] = []
  const makeRoom = async (bytes: number) => {
    asked.push(bytes)
    free += bytes
  }
  const blobs = new BoundedStore(inner, { maxSize: 1e9, lacking: async () => 20 - free }, makeRoom)
  await blobs.measured
  await using first = await blobs.create('sha256', 130)
  expect(asked).toEqual([50])
  await first.write(Buffer.alloc(100))
  free -= 100
  await using second = await blobs.create('sha256', 10)
  expect(second.written).toBe(0)
  expect(asked).toEqual([50, 10])
})

it('counts once what two commit at the same time', async () => {
  const blobs = new BoundedStore(new MemoryStore(), { maxSize: 1e9, lacking: async () => -1e12 }, async () => {})
  await blobs.measured
  await Promise.all([1, 2, 3].map(() => put(blobs, Buffer.alloc(100, 1))))
  expect(blobs.usage).toMatchObject({ stored: 100, objects: 1, expected: 0 })
})

it('takes two turns for a blob where the first one made room for somebody who needed less', async () => {
  const inner = new MemoryStore()
  const old = [Buffer.alloc(300, 1), Buffer.alloc(300, 2), Buffer.alloc(300, 3)]
  for (const bytes of old) await put(inner, bytes)
  const digests = old.map((bytes) => digestOf(bytes))
  const blobs = new BoundedStore(inner, { maxSize: 1000, lacking: async () => -1e12 }, async () => {
    const digest = digests.pop()
    if (digest) await blobs.delete(digest)
  })
  await blobs.measured
  await put(blobs, Buffer.alloc(650, 4))
  expect(blobs.usage).toMatchObject({ stored: 950, objects: 2 })
})

it('counts no further once it is closed', async () => {
  const inner = new MemoryStore()
  const counted: number[] = []
  inner.list = async function* () {
    for (let at = 0; at < 1000; at++) {
      counted.push(at)
      yield { digest: digestOf(Buffer.from([at])), size: 1, usedAt: 0 }
    }
  }
  const blobs = new BoundedStore(inner, { maxSize: 1e9, lacking: async () => -1e12 }, async () => {})
  blobs[Symbol.dispose]()
  await expect(blobs.measured).rejects.toThrow('closed')
  expect(counted).toEqual([0])
})
