import { execFileSync } from 'node:child_process'
import { mkdtemp, open, readdir, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { DiskStore } from '../../src/blobs/disk.ts'
import { type Digest, digestOf, hexOf } from '../../src/oci/digest.ts'
import { isKind } from '../../src/oci/errors.ts'
import { blobStoreContract } from '../contracts/blob-store.ts'
import { collect } from '../support/collect.ts'
import { Failures, watched } from '../support/fault-file-system.ts'

const made: string[] = []
async function directory(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'cistern-blobs-'))
  made.push(path)
  return path
}
afterAll(() => Promise.all(made.map((path) => rm(path, { recursive: true, force: true }))))

async function put(store: DiskStore, bytes: Buffer): Promise<Digest> {
  await using writer = await store.create('sha256')
  await writer.write(bytes)
  return (await writer.commit({ digest: digestOf(bytes) })).digest
}

const pathOf = (dataDir: string, digest: Digest) =>
  join(dataDir, 'v1', 'blobs', 'sha256', hexOf(digest).slice(0, 2), hexOf(digest))

blobStoreContract(async () => DiskStore.open(await directory()))

describe('the disk store', () => {
  it('keeps its blobs over a restart and drops what was in the making', async () => {
    const dataDir = await directory()
    const digest = await put(await DiskStore.open(dataDir), Buffer.from('kept'))
    await writeFile(join(dataDir, 'v1', 'ingest', 'left'), 'half')
    const store = await DiskStore.open(dataDir)
    expect(await readdir(join(dataDir, 'v1', 'ingest'))).toEqual([])
    const blob = await store.open(digest)
    if (blob) expect((await collect(blob.body())).toString()).toBe('kept')
    expect(blob).toBeDefined()
  })

  it('leaves no temporary file behind, committed or abandoned', async () => {
    const dataDir = await directory()
    const store = await DiskStore.open(dataDir)
    await put(store, Buffer.from('one'))
    const writer = await store.create('sha256')
    await writer.write(Buffer.from('two'))
    expect(await readdir(join(dataDir, 'v1', 'ingest'))).toHaveLength(1)
    await writer[Symbol.asyncDispose]()
    expect(await readdir(join(dataDir, 'v1', 'ingest'))).toHaveLength(0)
  })

  it('sends a large blob in pieces, and reads no more before each was taken', async () => {
    let reads = 0
    const counted = watched({ before: ({ kind }) => void (kind === 'read' && reads++) })
    const store = await DiskStore.open(await directory(), counted)
    const bytes = Buffer.alloc(5 * 1024 * 1024, 'abcdefg')
    const digest = await put(store, bytes)
    await using blob = await store.open(digest)
    const received: Buffer[] = []
    await blob?.body().sendTo({
      write: async (chunk) => {
        const before = reads
        await new Promise(setImmediate)
        expect(reads).toBe(before)
        received.push(Buffer.from(chunk))
      },
    })
    expect(received.length).toBeGreaterThan(1)
    expect(digestOf(Buffer.concat(received))).toBe(digest)
  })

  it.each([
    ['slow', 2000, 512 * 1024],
    ['quick', 10, 1024 * 1024],
  ])('hands a %s client, that takes %d ms for a piece, at most %d bytes', async (_, tookMs, most) => {
    const store = await DiskStore.open(await directory())
    const digest = await put(store, Buffer.alloc(5 * 1024 * 1024, 'abcdefg'))
    await using blob = await store.open(digest)
    const lengths: number[] = []
    vi.useFakeTimers({ toFake: ['performance'] })
    onTestFinished(() => void vi.useRealTimers())
    await blob?.body().sendTo({
      write: (chunk) => {
        lengths.push(chunk.length)
        vi.advanceTimersByTime(tookMs)
      },
    })
    expect(Math.max(...lengths)).toBe(most)
  })

  it('ends with the error of a sink that fails', async () => {
    const store = await DiskStore.open(await directory())
    const digest = await put(store, Buffer.alloc(3 * 1024 * 1024))
    await using blob = await store.open(digest)
    const gone = new Error('gone')
    await expect(blob?.body().sendTo({ write: () => Promise.reject(gone) })).rejects.toBe(gone)
  })

  it('G97: a file truncated while it is streamed ends in an error, not in a clean end', async () => {
    const dataDir = await directory()
    const store = await DiskStore.open(dataDir)
    const digest = await put(store, Buffer.alloc(4 * 1024 * 1024, 1))
    await using blob = await store.open(digest)
    let sent = 0
    const sending = blob?.body().sendTo({
      write: async (chunk) => {
        if (sent === 0) await truncate(pathOf(dataDir, digest), 1024 * 1024)
        sent += chunk.length
      },
    })
    await expect(sending).rejects.toSatisfy((error) => isKind(error, 'corrupt'))
    expect(sent).toBeLessThan(4 * 1024 * 1024)
  })

  it('G98: a symlink, a pipe or a directory in place of a blob is not there', async () => {
    const dataDir = await directory()
    const store = await DiskStore.open(dataDir)
    const secret = join(dataDir, 'secret')
    await writeFile(secret, 'secret')
    for (const plant of [
      (path: string) => symlink(secret, path),
      async (path: string) => execFileSync('mkfifo', [path]),
      async (path: string) => execFileSync('mkdir', [path]),
    ]) {
      const digest = await put(store, Buffer.from('x'))
      await rm(pathOf(dataDir, digest))
      await plant(pathOf(dataDir, digest))
      expect(await store.open(digest)).toBeUndefined()
      expect(await store.stat(digest)).toBeUndefined()
      await rm(pathOf(dataDir, digest), { recursive: true })
    }
  })

  it('G94: after a sync that failed (EIO) gives nothing of what was written to anybody', async () => {
    const failures = new Failures()
    const dataDir = await directory()
    const store = await DiskStore.open(dataDir, failures.fileSystem)
    const bytes = Buffer.from('not on disk')
    await using writer = await store.create('sha256')
    await writer.write(bytes)
    using _failing = failures.fail('EIO', ({ kind }) => kind === 'sync', 1)
    await expect(writer.commit({ digest: digestOf(bytes) })).rejects.toThrow('EIO')
    await expect(writer.read(new Uint8Array(3), 0)).rejects.toSatisfy((error) => isKind(error, 'corrupt'))
    expect(await store.stat(digestOf(bytes))).toBeUndefined()
  })

  it('G97: a file truncated while it is made gives no bytes that were not written', async () => {
    const dataDir = await directory()
    const store = await DiskStore.open(dataDir)
    await using writer = await store.create('sha256')
    await writer.write(Buffer.from('written'))
    const [name = ''] = await readdir(join(dataDir, 'v1', 'ingest'))
    await truncate(join(dataDir, 'v1', 'ingest', name), 0)
    await expect(writer.read(new Uint8Array(3), 0)).rejects.toSatisfy((error) => isKind(error, 'corrupt'))
  })

  it('keeps what was put aside within bounds, the latest longest', async () => {
    const dataDir = await directory()
    const store = await DiskStore.open(dataDir)
    for (let n = 0; n < 40; n++)
      expect(await store.quarantine(await put(store, Buffer.from(`bad ${n % 20}`)))).toBe(true)
    const kept = await readdir(join(dataDir, 'v1', 'quarantine'))
    expect(kept).toHaveLength(32)
    expect(kept).toContain(`sha256-${hexOf(digestOf(Buffer.from('bad 19')))}-2`)
    expect(kept).not.toContain(`sha256-${hexOf(digestOf(Buffer.from('bad 0')))}-1`)
  })

  it('does not read twice what was begun', async () => {
    const reads: number[] = []
    const dataDir = await directory()
    const fileSystem = watched({ before: ({ kind, position }) => kind === 'read' && reads.push(position ?? -1) })
    const store = await DiskStore.open(dataDir, fileSystem)
    const digest = await put(store, Buffer.alloc(100_000, 'x'))
    const blob = await store.open(digest)
    const body = blob?.body()
    await body?.begin()
    await body?.begin()
    if (body) expect(digestOf(await collect(body))).toBe(digest)
    expect(new Set(reads).size).toBe(reads.length)
  })

  it('closes every file it opened', async () => {
    const dataDir = await directory()
    const store = await DiskStore.open(dataDir)
    const digest = await put(store, Buffer.alloc(100_000))
    const openFiles = async () => {
      await using _ = await open(dataDir, 'r')
      return (await readdir('/proc/self/fd')).length
    }
    const before = await openFiles()
    for (let round = 0; round < 20; round++) {
      await store.stat(digest)
      const blob = await store.open(digest)
      if (blob) await collect(blob.body({ start: 5, end: 10 }))
    }
    expect(await openFiles()).toBe(before)
  })
})
