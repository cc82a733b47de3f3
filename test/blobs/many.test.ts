import { mkdirSync, mkdtempDisposableSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, it } from 'vitest'
import { BoundedStore } from '../../src/blobs/bounded.ts'
import { DiskStore } from '../../src/blobs/disk.ts'
import { digestOf, hexOf } from '../../src/oci/digest.ts'
import { type Operation, watched } from '../support/fault-file-system.ts'

const blobs = 1_000
const size = 1_000_000

it('G104: opens without looking at any blob, however many there are, and counts them without reading any', async () => {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'cistern-many-'))
  for (let n = 0; n < blobs; n++) {
    const hex = hexOf(digestOf(Buffer.from(String(n))))
    const path = join(directory.path, 'v1', 'blobs', 'sha256', hex.slice(0, 2), hex)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, '')
    truncateSync(path, size)
  }
  const operations: Operation[] = []
  const store = await DiskStore.open(directory.path, watched({ before: (operation) => operations.push(operation) }))
  expect(operations.length).toBeLessThan(20)

  const bounded = new BoundedStore(store, { maxSize: 1e12, lacking: async () => -1e12 }, async () => {})
  await bounded.measured
  expect(bounded.usage).toMatchObject({ stored: blobs * size, objects: blobs })
  expect(operations.filter(({ kind }) => kind === 'read')).toEqual([])
})
