import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DiskStore } from '../../src/blobs/disk.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { collect } from '../support/collect.ts'
import { type Data, type Names, VolatileDisk } from '../support/power-cut.ts'

type Step = { does: 'put' | 'abandon' | 'delete' | 'quarantine' | 'touch'; blob: number }

const contents = Array.from({ length: 4 }, (_, n) => Buffer.from(`blob ${n} `.repeat(5 * n * n)))
const digests = contents.map((bytes) => digestOf(bytes))
const digestAt = (blob: number) => digests[blob] as Digest
const contentAt = (blob: number) => contents[blob] as Buffer

/** What may be found of a blob from an operation on: it is there for sure, gone for sure, or either. */
type Promised = { from: number; blob: number; state: 'there' | 'gone' | 'either' }

/** Runs steps on a disk that loses what was not synced, and notes what the store promised, and when. */
async function run(steps: readonly Step[], directory: string) {
  const disk = new VolatileDisk(directory)
  const store = await DiskStore.open(directory, disk.fileSystem)
  const promised: Promised[] = []
  for (const { does, blob } of steps) {
    if (does !== 'touch' && does !== 'abandon') {
      const held = (await store.stat(digestAt(blob))) !== undefined
      if (does !== 'put' || !held) promised.push({ from: disk.count, blob, state: 'either' })
    }
    await perform(store, does, blob)
    if (does === 'put') promised.push({ from: disk.count, blob, state: 'there' })
  }
  return { disk, promised }
}

async function perform(store: DiskStore, does: Step['does'], blob: number): Promise<void> {
  const digest = digestAt(blob)
  if (does === 'delete') await store.delete(digest)
  if (does === 'quarantine') await store.quarantine(digest)
  if (does === 'touch') await store.touch(digest, 1_000_000)
  if (does !== 'put' && does !== 'abandon') return
  await using writer = await store.create('sha256')
  const bytes = contentAt(blob)
  for (let at = 0; at < bytes.length; at += 50) await writer.write(bytes.subarray(at, at + 50))
  if (does === 'put') await writer.commit({ digest, size: bytes.length })
}

/** Opens what a power cut left, and compares it with what was promised. */
async function check(disk: VolatileDisk, promised: Promised[], count: number, data: Data, names: Names): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'cistern-cut-'))
  try {
    await disk.cut(count, data, names, directory)
    const store = await DiskStore.open(directory)
    expect(await readdir(join(directory, 'v1', 'ingest'))).toEqual([])
    for (const [blob, digest] of digests.entries()) {
      const state = promised.findLast((promise) => promise.blob === blob && promise.from <= count)?.state ?? 'gone'
      await using found = await store.open(digest)
      if (found) expect(digestOf(await collect(found.body())), `blob ${blob} after ${count} operations`).toBe(digest)
      if (state === 'there') expect(found, `blob ${blob} after ${count} operations`).toBeDefined()
      if (state === 'gone') expect(found, `blob ${blob} after ${count} operations`).toBeUndefined()
    }
  } finally {
    await rm(directory, { recursive: true })
  }
}

async function withDirectory(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'cistern-volatile-'))
  try {
    await work(directory)
  } finally {
    await rm(directory, { recursive: true })
  }
}

const policies: Data[] = ['kept', 'dropped', 'torn']

describe('a power cut', () => {
  it('H107: after each operation leaves blobs whole or absent, and those that were committed', () =>
    withDirectory(async (directory) => {
      const { disk, promised } = await run(
        [
          { does: 'put', blob: 0 },
          { does: 'put', blob: 1 },
          { does: 'abandon', blob: 2 },
          { does: 'put', blob: 3 },
          { does: 'put', blob: 1 },
          { does: 'delete', blob: 3 },
          { does: 'quarantine', blob: 1 },
          { does: 'put', blob: 3 },
        ],
        directory,
      )
      expect(disk.count).toBeGreaterThan(40)
      for (let count = 0; count <= disk.count; count++) {
        for (const data of policies) {
          await check(disk, promised, count, data, () => true)
          await check(disk, promised, count, data, () => false)
        }
      }
    }))

  it('H107: at any moment of any work, whichever unsynced changes survive it', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            does: fc.constantFrom<Step['does'][]>('put', 'put', 'abandon', 'delete', 'quarantine', 'touch'),
            blob: fc.nat(contents.length - 1),
          }),
          { minLength: 1, maxLength: 8 },
        ),
        fc.array(fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), data: fc.constantFrom(...policies) }), {
          minLength: 1,
          maxLength: 5,
        }),
        fc.infiniteStream(fc.boolean()),
        (steps, cuts, coin) =>
          withDirectory(async (directory) => {
            const { disk, promised } = await run(steps, directory)
            const kept = Array.from({ length: 200 }, () => Boolean(coin.next().value))
            for (const { at, data } of cuts) {
              await check(disk, promised, Math.round(at * disk.count), data, (n) => kept[n % kept.length] === true)
            }
          }),
      ),
      { numRuns: 60 },
    ))
})
