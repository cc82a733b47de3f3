import { execFileSync } from 'node:child_process'
import { chmod, mkdir, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { Failures, type Operation } from '../support/fault-file-system.ts'
import { type FaultyUpstream, image, randomBlob } from '../support/faulty-upstream.ts'
import { fetchDigest } from '../support/http.ts'
import { Appliance } from './appliance.ts'
import { codeOf, digestOfBytes } from './client.ts'
import { Volume, withVolumes } from './volume.ts'

const ofBlobs = ({ path }: Operation) => path.includes('/v1/blobs/')
const ofKind = (kind: Operation['kind'], where = (_: Operation) => true) => {
  return (operation: Operation) => operation.kind === kind && where(operation)
}

/** An appliance with one blob of so many bytes, which its upstream has. */
async function given(failures: Failures, size: number, seed: string) {
  const appliance = await Appliance.start({ fileSystem: failures.fileSystem })
  const blob = appliance.upstream.addBlob('app', randomBlob(size, seed))
  return { appliance, blob }
}

const blobRequests = (upstream: FaultyUpstream) => upstream.requests('GET', 'blob').length

describe('a disk that takes no writes', () => {
  const steps: [string, string, (operation: Operation) => boolean][] = [
    ['at the making of the file', 'ENOSPC', ofKind('create')],
    ['at the first write', 'ENOSPC', ofKind('write')],
    ['at a later write', 'ENOSPC', ofKind('write', ({ position }) => (position ?? 0) > 0)],
    ['at the sync', 'ENOSPC', ofKind('sync')],
    ['at the making of the directory', 'ENOSPC', ofKind('mkdir', ofBlobs)],
    ['at the rename', 'ENOSPC', ofKind('rename')],
    ['at a write, by quota', 'EDQUOT', ofKind('write')],
    ['at the rename, by quota', 'EDQUOT', ofKind('rename')],
    ['at the making of the file, mounted read-only', 'EROFS', ofKind('create')],
    ['at the making of the file, for want of descriptors', 'EMFILE', ofKind('create')],
    ['at the making of the file, for want of descriptors in the system', 'ENFILE', ofKind('create')],
    ['at a write, broken', 'EIO', ofKind('write')],
    ['at the rename, broken', 'EIO', ofKind('rename')],
  ]

  it.each(steps)(
    'G90, G92: %s (%s), does not keep the client from its blob, and leaves nothing behind',
    async (...step) => {
      const [where, code, matches] = step
      const failures = new Failures()
      const { appliance, blob } = await given(failures, where.includes('sync') ? 900_000 : 2_500_000, where)
      await using _ = appliance
      {
        using _failing = failures.fail(code, matches)
        expect(await appliance.told(`blobs/${blob.digest}`)).toEqual({ status: 200, digest: blob.digest })
        await appliance.settles()
        expect(await appliance.stored()).toEqual([])
        expect((await appliance.readiness()).blobs).not.toBe('ok')
        expect(await appliance.metric('cistern_cache_degraded')).toBe(1)
      }
      expect(await appliance.told(`blobs/${blob.digest}`)).toEqual({ status: 200, digest: blob.digest })
      await appliance.keeps(blob.digest)
      await eventually(async () => expect(await appliance.readiness()).toMatchObject({ status: 200, blobs: 'ok' }))
      expect(await appliance.metric('cistern_cache_degraded')).toBe(0)
      expect(await appliance.metric('cistern_cache_bytes')).toBe(blob.size)
      expect(blobRequests(appliance.upstream)).toBe(2)
    },
  )

  it('G90: in the middle of a large blob (ENOSPC), does not keep a client from it', async () => {
    const failures = new Failures()
    const { appliance, blob } = await given(failures, 40_000_000, 'large')
    await using _ = appliance
    using _failing = failures.fail(
      'ENOSPC',
      ofKind('write', ({ position }) => (position ?? 0) > 3_000_000),
    )
    expect(await appliance.told(`blobs/${blob.digest}`)).toEqual({ status: 200, digest: blob.digest })
    await appliance.settles()
    expect(await appliance.stored()).toEqual([])
  })

  it.each([
    ['create', 'ENOSPC'],
    ['write', 'EIO'],
    ['sync', 'EIO'],
    ['rename', 'EDQUOT'],
  ] as const)('G90: at the %s of a manifest (%s), does not keep the client from its image', async (kind, code) => {
    const failures = new Failures()
    await using appliance = await Appliance.start({ fileSystem: failures.fileSystem })
    const { digest } = appliance.upstream.addImage('app', 'latest', image())
    {
      using _failing = failures.fail(code, ofKind(kind))
      expect(await appliance.told('manifests/latest')).toEqual({ status: 200, digest })
      expect(await appliance.stored()).toEqual([])
    }
    expect(await appliance.told('manifests/latest')).toEqual({ status: 200, digest })
    expect(await appliance.stored()).toEqual([digest])
    expect(await appliance.files('ingest')).toEqual([])
  })

  it('G90: full, has what is longest out of use evicted', async () => {
    const failures = new Failures()
    const { appliance, blob } = await given(failures, 900_000, 'new')
    await using _ = appliance
    const old = appliance.upstream.addBlob('app', randomBlob(900_000, 'old'))
    await appliance.blob(old.digest)
    await appliance.keeps(old.digest)
    using _full = failures.fail('ENOSPC', ofKind('write'), 1)
    expect(await appliance.told(`blobs/${blob.digest}`)).toEqual({ status: 200, digest: blob.digest })
    await eventually(async () => expect(await appliance.stored()).toEqual([]))
    await appliance.blob(blob.digest)
    await appliance.keeps(blob.digest)
  })

  it('G94: at the sync (EIO), is not asked again: the bytes are discarded, and fetched anew later', async () => {
    const failures = new Failures()
    const { appliance, blob } = await given(failures, 900_000, 'fsync')
    await using _ = appliance
    using _failing = failures.fail('EIO', ofKind('sync'), 1)
    expect(await appliance.told(`blobs/${blob.digest}`)).toEqual({ status: 200, digest: blob.digest })
    await appliance.settles()
    expect(await appliance.stored()).toEqual([])
    expect(await appliance.told(`blobs/${blob.digest}`)).toEqual({ status: 200, digest: blob.digest })
    await appliance.keeps(blob.digest)
    expect(blobRequests(appliance.upstream)).toBe(2)
  })

  it('G94: at the sync of the directory (EIO), has whole blobs all the same, and says so', async () => {
    const failures = new Failures()
    const { appliance, blob } = await given(failures, 900_000, 'directory')
    await using _ = appliance
    using _failing = failures.fail('EIO', ofKind('sync-directory'))
    expect(await appliance.told(`blobs/${blob.digest}`)).toEqual({ status: 200, digest: blob.digest })
    await appliance.keeps(blob.digest)
    expect(await appliance.told(`blobs/${blob.digest}`)).toEqual({ status: 200, digest: blob.digest })
    expect(blobRequests(appliance.upstream)).toBe(1)
    expect(appliance.faults).toMatchObject([{ where: 'blobs', reference: blob.digest }])
  })
})

describe('a disk that gives no reads', () => {
  /** A blob on disk, and the count of what upstream was asked for it. */
  async function stored(size: number, seed: string) {
    const failures = new Failures()
    const { appliance, blob } = await given(failures, size, seed)
    await appliance.blob(blob.digest)
    await appliance.keeps(blob.digest)
    await appliance.settles()
    return { failures, appliance, blob }
  }

  it.each([
    ['opened', ofKind('open', ofBlobs)],
    ['looked at', ofKind('fstat', ofBlobs)],
    ['read', ofKind('read', ofBlobs)],
  ])('G93: a hit that cannot be %s (EIO) is a miss; the file is put aside', async (_, matches) => {
    const { failures, appliance, blob } = await stored(3_000_000, 'before headers')
    await using _appliance = appliance
    using _failing = failures.fail('EIO', matches, 1)
    const { status, headers, body } = await appliance.blob(blob.digest)
    expect([status, digestOfBytes(body)]).toEqual([200, blob.digest])
    expect(headers['cache-status']).toContain('fwd=')
    const aside = [`${blob.digest.replace(':', '-')}-1`]
    await eventually(async () => expect(await appliance.files('quarantine')).toEqual(aside))
    await appliance.keeps(blob.digest)
    expect(appliance.faults).toMatchObject([{ where: 'blobs', kind: 'corrupt', reference: blob.digest }])
    expect(await appliance.metric('cistern_cache_bytes')).toBe(blob.size)
    expect(await appliance.told(`blobs/${blob.digest}`)).toEqual({ status: 200, digest: blob.digest })
    expect(blobRequests(appliance.upstream)).toBe(2)
  })

  it('G93: a range of a hit that cannot be read (EIO) is a miss', async () => {
    const { failures, appliance, blob } = await stored(3_000_000, 'range')
    await using _ = appliance
    using _failing = failures.fail('EIO', ofKind('read', ofBlobs), 1)
    const got = await appliance.blob(blob.digest, { headers: { range: 'bytes=2000000-2000099' } })
    expect([got.status, got.body.equals(blob.slice(2_000_000, 2_000_100))]).toEqual([206, true])
    expect(blobRequests(appliance.upstream)).toBe(2)
  })

  it('G93: a hit that cannot be read to its end (EIO) breaks; the file is put aside, and the next is right', async () => {
    const { failures, appliance, blob } = await stored(3_000_000, 'after headers')
    await using _ = appliance
    using _failing = failures.fail(
      'EIO',
      ofKind('read', ({ position }) => (position ?? 0) > 1_000_000),
      1,
    )
    const { status, complete, body } = await appliance.blob(blob.digest)
    expect([status, complete]).toEqual([200, false])
    expect(body.equals(blob.slice(0, body.length))).toBe(true)
    await eventually(async () => expect(await appliance.files('quarantine')).toHaveLength(1))
    expect(await appliance.told(`blobs/${blob.digest}`)).toEqual({ status: 200, digest: blob.digest })
    await appliance.keeps(blob.digest)
    expect(blobRequests(appliance.upstream)).toBe(2)
  })

  it('G93: a manifest that cannot be read (EIO) is fetched again', async () => {
    const failures = new Failures()
    await using appliance = await Appliance.start({
      fileSystem: failures.fileSystem,
      config: { cache: { manifestMemory: '0' } },
    })
    const { digest } = appliance.upstream.addImage('app', 'latest', image())
    await appliance.manifest(digest)
    using _failing = failures.fail('EIO', ofKind('read', ofBlobs), 1)
    expect(await appliance.told(`manifests/${digest}`)).toEqual({ status: 200, digest })
    expect(await appliance.stored()).toEqual([digest])
    expect(await appliance.files('quarantine')).toHaveLength(1)
  })

  it.each(['EMFILE', 'ENFILE'])('G92: without descriptors (%s) hits go on, and nothing is put aside', async (code) => {
    const { failures, appliance, blob } = await stored(900_000, code)
    await using _ = appliance
    {
      using _failing = failures.fail(code, ofKind('open', ofBlobs))
      expect(await appliance.told(`blobs/${blob.digest}`)).toEqual({ status: 200, digest: blob.digest })
      await appliance.restart(undefined, { config: { offline: true } })
      expect(codeOf(await appliance.blob(blob.digest))).toBe('UNAVAILABLE')
    }
    expect(await appliance.told(`blobs/${blob.digest}`)).toEqual({ status: 200, digest: blob.digest })
    expect(await appliance.files('quarantine')).toEqual([])
  })
})

describe('a damaged disk', () => {
  /** A blob on disk, whose file the test then spoils. */
  async function spoiled(spoil: (path: string) => unknown) {
    const appliance = await Appliance.start()
    const blob = appliance.upstream.addBlob('app', randomBlob(3_000_000, 'spoiled'))
    await appliance.blob(blob.digest)
    await appliance.keeps(blob.digest)
    await appliance.settles()
    await spoil(appliance.pathOf(blob.digest))
    return { appliance, blob }
  }

  it.each([
    ['shorter', (path: string) => truncate(path, 1_000_000)],
    ['empty', (path: string) => truncate(path, 0)],
    ['longer', (path: string) => truncate(path, 3_000_001)],
    ['gone', (path: string) => rm(path)],
  ])('G97, G100: a file that is %s is a miss, for GET and HEAD', async (_, spoil) => {
    const { appliance, blob } = await spoiled(spoil)
    await using _appliance = appliance
    const head = await appliance.blob(blob.digest, { method: 'HEAD' })
    expect([head.status, head.headers['content-length']]).toEqual([200, String(blob.size)])
    expect(appliance.upstream.requests('HEAD', 'blob')).toHaveLength(1)
    expect(await appliance.told(`blobs/${blob.digest}`)).toEqual({ status: 200, digest: blob.digest })
    await appliance.keeps(blob.digest)
    expect(await appliance.told(`blobs/${blob.digest}`)).toEqual({ status: 200, digest: blob.digest })
    expect(blobRequests(appliance.upstream)).toBe(2)
  })

  it.each([
    ['a directory', (path: string) => mkdir(path), true],
    ['a directory that is not empty', (path: string) => mkdir(join(path, 'in'), { recursive: true }), true],
    ['a symlink', (path: string) => symlink('/etc/hostname', path), true],
    ['a symlink to itself', (path: string) => symlink(path, path), true],
    ['a pipe', async (path: string) => execFileSync('mkfifo', [path]), true],
    ['a file of another owner', (path: string) => writeFile(path, '').then(() => chmod(path, 0)), false],
  ])('G98: %s in place of a blob is not followed; it is put aside, and the blob fetched', async (_, plant, aside) => {
    const { appliance, blob } = await spoiled(async (path) => {
      await rm(path)
      await plant(path)
    })
    await using _appliance = appliance
    expect(await appliance.told(`blobs/${blob.digest}`)).toEqual({ status: 200, digest: blob.digest })
    await appliance.keeps(blob.digest)
    await appliance.settles()
    expect(await appliance.files('quarantine')).toHaveLength(aside ? 1 : 0)
  })

  it('G96: bits that flipped in a manifest are found at the read: it is put aside, and fetched again', async () => {
    await using appliance = await Appliance.start({ config: { cache: { manifestMemory: '0' } } })
    const { digest, bytes } = appliance.upstream.addImage('app', 'latest', image())
    await appliance.manifest(digest)
    await writeFile(appliance.pathOf(digest), Buffer.from(bytes).fill(0x20, 10, 11))
    expect(await appliance.told(`manifests/${digest}`)).toEqual({ status: 200, digest })
    expect(await appliance.stored()).toEqual([digest])
    expect(await appliance.files('quarantine')).toHaveLength(1)
    expect(appliance.faults).toMatchObject([{ where: 'blobs', kind: 'corrupt', reference: digest }])
  })
})

withVolumes('a volume of 64 MiB', () => {
  it('G91: gives clients a blob of 100 MB right, keeps nothing partial of it, and serves its hits', async () => {
    using volume = new Volume('64m')
    await using appliance = await Appliance.start({ dataDir: volume.path })
    const small = appliance.upstream.addBlob('app', randomBlob(1_000_000, 'small'))
    const large = appliance.upstream.addBlob('app', randomBlob(100_000_000, 'large'))
    await appliance.blob(small.digest)
    await appliance.keeps(small.digest)
    await appliance.settles()

    const answers = await Promise.all([1, 2].map(() => fetchDigest(appliance.url(`blobs/${large.digest}`))))

    expect(answers.map(({ status, digest }) => [status, digest])).toEqual(Array(2).fill([200, large.digest]))
    await appliance.settles()
    expect(await appliance.stored()).toEqual([small.digest])
    expect(await appliance.metric('cistern_cache_degraded')).toBe(1)
    appliance.upstream.forget()
    expect(await appliance.told(`blobs/${small.digest}`)).toEqual({ status: 200, digest: small.digest })
    expect(blobRequests(appliance.upstream)).toBe(0)
  })

  it('G91: full of what nobody may evict, serves its hits and passes misses on', async () => {
    using volume = new Volume('64m')
    const config = { cache: { minFree: '0' } }
    await using appliance = await Appliance.start({ dataDir: volume.path, rule: { pin: ['app'] }, config })
    const next = appliance.upstream.addBlob('app', randomBlob(3_000_000, 'next'))
    const { layers } = appliance.upstream.addImage('app', 'latest', image({ layers: [1_000_000] }))
    const [blob = next] = layers
    await appliance.manifest('latest')
    await appliance.blob(blob.digest)
    await appliance.keeps(blob.digest)
    await writeFile(join(volume.path, 'somebody else'), Buffer.alloc(64 << 20)).catch(() => {})

    expect(await appliance.told(`blobs/${next.digest}`)).toEqual({ status: 200, digest: next.digest })
    expect(await appliance.told(`blobs/${blob.digest}`)).toEqual({ status: 200, digest: blob.digest })
    await appliance.settles()
    expect(await appliance.stored()).toContain(blob.digest)
    expect(await appliance.stored()).not.toContain(next.digest)
    expect(await appliance.readiness()).toMatchObject({ status: 200, blobs: expect.stringContaining('degraded') })
    expect(blobRequests(appliance.upstream)).toBe(2)
  })

  it('G95: mounted read-only, serves its hits, passes misses on, and says so; recovers', async () => {
    using volume = new Volume('64m', 'v1')
    await using appliance = await Appliance.start({ dataDir: volume.path })
    const kept = appliance.upstream.addBlob('app', randomBlob(900_000, 'kept'))
    const next = appliance.upstream.addBlob('app', randomBlob(3_000_000, 'next'))
    await appliance.blob(kept.digest)
    await appliance.keeps(kept.digest)
    await appliance.settles()

    volume.remount('ro')
    const readOnly = [await appliance.told(`blobs/${kept.digest}`), await appliance.told(`blobs/${next.digest}`)]
    const degraded = await appliance.readiness()
    volume.remount('rw')
    await appliance.blob(next.digest)
    await appliance.keeps(next.digest)

    expect(readOnly).toEqual([kept, next].map(({ digest }) => ({ status: 200, digest })))
    expect(degraded).toMatchObject({ status: 200, blobs: expect.stringContaining('degraded') })
    await eventually(async () => expect(await appliance.readiness()).toMatchObject({ status: 200, blobs: 'ok' }))
    expect(blobRequests(appliance.upstream)).toBe(3)
  })
})
