import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { DiskWriter } from '../../src/blobs/disk-writer.ts'
import type { OpenFile } from '../../src/blobs/file-system.ts'
import { sha256 } from '../support/images.ts'

const KiB = 1024

/** A file on a disk that takes no time, for no turn of the event loop to be the disk's. */
const quickFile: OpenFile = {
  read: async () => ({ bytesRead: 0 }),
  write: async (_source, _offset, length) => ({ bytesWritten: length }),
  stat: () => Promise.reject(new Error('nobody asks')),
  sync: async () => {},
  close: async () => {},
  async [Symbol.asyncDispose]() {},
}

it('lets others have their turn of the event loop after each 64 KiB that it hashes', async () => {
  const chunk = Buffer.alloc(1024 * KiB, 'chunk')
  await using writer = new DiskWriter(quickFile, 'sha256', { publish: async () => {}, abandon: async () => {} })
  let isOver = false
  const writing = writer.write(chunk).finally(() => {
    isOver = true
  })
  let turns = 0
  for (; !isOver; turns++) await nextTurn()
  await writing
  expect(turns).toBeGreaterThanOrEqual(chunk.length / (64 * KiB) - 1)
  expect(writer.digest()).toBe(sha256(chunk))
})
