import { readdir, readFile, stat, truncate, unlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DiskStore } from '../../src/blobs/disk.ts'
import { type FileSystem, nodeFileSystem } from '../../src/blobs/file-system.ts'
import { Scrubber } from '../../src/cache/scrub.ts'
import { linkKey } from '../../src/metadata/metadata.ts'
import { type Digest, hexOf } from '../../src/oci/digest.ts'
import { unavailable } from '../../src/oci/errors.ts'
import { type Events, subscribe } from '../../src/telemetry/events.ts'
import { collect } from '../support/collect.ts'
import { eventually } from '../support/eventually.ts'
import { temporaryFolder } from '../support/folder.ts'
import { given, rule } from './given.ts'

const announced = { faults: [] as Events['cistern:fault'][], scrubs: [] as Events['cistern:scrub'][] }
let subscriptions: (() => void)[] = []

beforeEach(() => {
  announced.faults = []
  announced.scrubs = []
  subscriptions = [
    subscribe('cistern:fault', (event) => announced.faults.push(event)),
    subscribe('cistern:scrub', (event) => announced.scrubs.push(event)),
  ]
})

afterEach(() => {
  for (const unsubscribe of subscriptions) unsubscribe()
})

/** A cache on disk over a scripted upstream, with a scrubber. `files` is what its disk does differently. */
async function ground(files: Partial<FileSystem> = {}) {
  const dataDir = temporaryFolder('scrub')
  const blobs = await DiskStore.open(dataDir, { ...nodeFileSystem, ...files })
  const parts = given({}, { blobs })
  const { metadata, memory, fills } = parts.cache
  const scrubber = new Scrubber({
    blobs,
    metadata,
    memory,
    fills,
    ruleOf: () => rule,
    registryOf: () => parts.registry,
  })
  const settled = () => eventually(async () => expect(fills.size).toBe(0))
  return {
    ...parts,
    blobs,
    scrubber,
    settled,
    file: (digest: Digest) => join(dataDir, 'v1', 'blobs', 'sha256', hexOf(digest).slice(0, 2), hexOf(digest)),
    quarantined: () => readdir(join(dataDir, 'v1', 'quarantine')).catch(() => []),
    pull: async (repository: string, digest: Digest) => {
      const read = await parts.registry.blob(repository, digest)
      const bytes = await collect(read.body)
      await settled()
      return { bytes, cache: read.outcome?.cache }
    },
  }
}

const noise = (seed: string, size = 100_000) => Buffer.alloc(size, seed)

async function flipBit(path: string): Promise<void> {
  const bytes = await readFile(path)
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1
  await writeFile(path, bytes)
}

const failing = (code: string) => Object.assign(new Error(code), { code })

describe('a scrub', () => {
  it('finds nothing wrong with what is right, and leaves it alone', async () => {
    const { upstream, scrubber, pull, quarantined } = await ground()
    for (const seed of ['one', 'two']) await pull('hub/app', upstream.addBlob('app', noise(seed)))
    upstream.calls.length = 0

    const report = await scrubber.run()

    expect(report).toMatchObject({ checked: 2, bytes: 200_000, skipped: 0, damaged: [] })
    expect(announced.scrubs).toEqual([
      { checked: 2, bytes: 200_000, damaged: 0, healed: 0, durationMs: expect.any(Number) },
    ])
    expect(upstream.calls).toEqual([])
    expect(await quarantined()).toEqual([])
  })

  it('G96: puts a blob with a flipped bit aside, and fetches it again by its digest', async () => {
    const { upstream, scrubber, pull, file, quarantined } = await ground()
    const [damaged, sound] = [upstream.addBlob('app', noise('one')), upstream.addBlob('app', noise('two'))]
    for (const digest of [damaged, sound]) await pull('hub/app', digest)
    await flipBit(file(damaged))
    upstream.calls.length = 0

    const report = await scrubber.run()

    expect(report).toMatchObject({ checked: 2, damaged: [{ digest: damaged, healed: true }] })
    expect(upstream.calls).toEqual([expect.objectContaining({ method: 'blob', repository: 'app', reference: damaged })])
    expect(await quarantined()).toEqual([`sha256-${hexOf(damaged)}-1`])
    expect(await pull('hub/app', damaged)).toEqual({ bytes: noise('one'), cache: 'hit' })
    expect(announced.faults).toEqual([expect.objectContaining({ where: 'blobs', kind: 'corrupt', reference: damaged })])
    expect(announced.scrubs).toEqual([expect.objectContaining({ damaged: 1, healed: 1 })])
    expect((await scrubber.run()).damaged).toEqual([])
  })

  it('G96: fetches a damaged manifest again that memory still had', async () => {
    const { cache, upstream, registry, scrubber, file } = await ground()
    const { descriptor, bytes } = upstream.addManifest('app', { layers: [] }, 'latest')
    await registry.manifest({ repository: 'hub/app', tag: 'latest' })
    await flipBit(file(descriptor.digest))
    upstream.calls.length = 0

    const report = await scrubber.run()

    expect(report.damaged).toEqual([{ digest: descriptor.digest, healed: true }])
    expect(upstream.calls).toEqual([expect.objectContaining({ method: 'manifest', reference: descriptor.digest })])
    cache.memory.delete(descriptor.digest)
    const again = await registry.manifest({ repository: 'hub/app', digest: descriptor.digest })
    expect([Buffer.from(again.bytes), again.outcome?.cache]).toEqual([bytes, 'hit'])
  })

  it.each([0, 1000])('G97: finds a file that was cut to %i bytes', async (length) => {
    const { upstream, scrubber, pull, file } = await ground()
    const digest = upstream.addBlob('app', noise('one'))
    await pull('hub/app', digest)
    await truncate(file(digest), length)
    expect((await scrubber.run()).damaged).toEqual([{ digest, healed: true }])
    expect((await stat(file(digest))).size).toBe(100_000)
  })

  it('B43: takes the empty blob for right', async () => {
    const { upstream, scrubber, pull } = await ground()
    await pull('hub/app', upstream.addBlob('app', new Uint8Array()))
    expect(await scrubber.run()).toMatchObject({ checked: 1, bytes: 0, damaged: [] })
  })

  it('tells why it could not heal, and the next pull fetches', async () => {
    const { upstream, scrubber, pull, file, quarantined } = await ground()
    const digest = upstream.addBlob('app', noise('one'))
    await pull('hub/app', digest)
    await flipBit(file(digest))
    upstream.failure = unavailable('upstream is down')

    const report = await scrubber.run()

    expect(report.damaged).toEqual([{ digest, healed: false, reason: 'hub/app: upstream is down' }])
    expect(announced.scrubs).toEqual([expect.objectContaining({ damaged: 1, healed: 0 })])
    expect(await quarantined()).toHaveLength(1)
    upstream.failure = undefined
    expect(await pull('hub/app', digest)).toEqual({ bytes: noise('one'), cache: 'miss' })
  })

  it('goes on to the next repository that holds a blob where the first one gives it no more', async () => {
    const { upstream, scrubber, pull, file } = await ground()
    const digest = upstream.addBlob('a', noise('one'))
    upstream.addBlob('b', noise('one'))
    await pull('hub/a', digest)
    await pull('hub/b', digest)
    await flipBit(file(digest))
    upstream.removeBlob('a', digest)
    upstream.calls.length = 0
    expect((await scrubber.run()).damaged).toEqual([{ digest, healed: true }])
    expect(upstream.calls.map(({ repository }) => repository)).toEqual(['a', 'b'])
  })

  it('asks an upstream that does not answer once for a blob, however many repositories hold it', async () => {
    const { upstream, scrubber, pull, file } = await ground()
    const digest = upstream.addBlob('a', noise('one'))
    for (const repository of ['b', 'c']) upstream.addBlob(repository, noise('one'))
    for (const repository of ['hub/a', 'hub/b', 'hub/c']) await pull(repository, digest)
    await flipBit(file(digest))
    upstream.failure = unavailable('upstream is down')
    upstream.calls.length = 0
    expect((await scrubber.run()).damaged).toEqual([expect.objectContaining({ healed: false })])
    expect(upstream.calls).toHaveLength(1)
  })

  it('does not fetch what no repository holds', async () => {
    const { cache, upstream, scrubber, pull, file } = await ground()
    const digest = upstream.addBlob('app', noise('one'))
    await pull('hub/app', digest)
    await cache.metadata.links.delete(linkKey('hub/app', digest))
    await flipBit(file(digest))
    upstream.calls.length = 0
    expect((await scrubber.run()).damaged).toEqual([{ digest, healed: true, reason: 'no repository holds it' }])
    expect(upstream.calls).toEqual([])
    expect(await cache.blobs.stat(digest)).toBeUndefined()
  })

  it('takes a link without a blob, and a blob that is evicted meanwhile, for no damage', async () => {
    const evicted = { before: '', after: '' }
    const open: FileSystem['open'] = async (path, ...rest) => {
      if (path === evicted.before) await unlink(path)
      const opened = await nodeFileSystem.open(path, ...rest)
      if (path === evicted.after) await unlink(path)
      return opened
    }
    const { upstream, scrubber, pull, file, blobs } = await ground({ open })
    const add = (seed: string) => upstream.addBlob('app', noise(seed))
    const [gone, unopened, opened] = [add('one'), add('two'), add('three')]
    for (const digest of [gone, unopened, opened]) await pull('hub/app', digest)
    await blobs.delete(gone)
    await flipBit(file(opened))
    evicted.before = file(unopened)
    evicted.after = file(opened)
    expect(await scrubber.run()).toMatchObject({ checked: 1, skipped: 0, damaged: [] })
    expect(announced.faults).toEqual([])
  })

  it('does not touch a transfer that is under way', async () => {
    const { upstream, registry, scrubber, settled } = await ground()
    const digest = upstream.addBlob('app', noise('one'))
    const resume = Promise.withResolvers<void>()
    const { sending } = upstream
    upstream.sending = async (bytes, sink, signal) => {
      await sink.write(bytes.subarray(0, 1000))
      await resume.promise
      await sending(bytes.subarray(1000), sink, signal)
    }
    const reading = registry.blob('hub/app', digest).then(({ body }) => collect(body))
    await eventually(async () => expect(upstream.count('blob')).toBe(1))
    expect(await scrubber.run()).toMatchObject({ checked: 0, damaged: [] })
    resume.resolve()
    expect(await reading).toEqual(noise('one'))
    await settled()
    expect(await scrubber.run()).toMatchObject({ checked: 1, damaged: [] })
  })

  it('says what it could not open, and goes on', async () => {
    const closed: string[] = []
    const open: FileSystem['open'] = async (path, ...rest) => {
      if (closed.includes(path)) throw failing('EMFILE')
      return nodeFileSystem.open(path, ...rest)
    }
    const { upstream, scrubber, pull, file, quarantined } = await ground({ open })
    const [closedOne, other] = [upstream.addBlob('app', noise('one')), upstream.addBlob('app', noise('two'))]
    for (const digest of [closedOne, other]) await pull('hub/app', digest)
    closed.push(file(closedOne))
    expect(await scrubber.run()).toMatchObject({ checked: 1, skipped: 1, damaged: [] })
    expect(announced.faults).toEqual([expect.objectContaining({ kind: 'unavailable', reference: closedOne })])
    expect(await quarantined()).toEqual([])
  })

  it('calls nothing healed that it could not put aside', async () => {
    const state = { readOnly: false }
    const rename: FileSystem['rename'] = async (from, to) => {
      if (state.readOnly) throw failing('EROFS')
      return nodeFileSystem.rename(from, to)
    }
    const { upstream, scrubber, pull, file } = await ground({ rename })
    const digest = upstream.addBlob('app', noise('one'))
    await pull('hub/app', digest)
    await flipBit(file(digest))
    state.readOnly = true
    upstream.calls.length = 0
    expect((await scrubber.run()).damaged).toEqual([{ digest, healed: false, reason: 'it could not be put aside' }])
    expect(upstream.calls).toEqual([])
  })

  it('is no use of a blob: what is healed keeps its turn to be evicted', async () => {
    const { cache, upstream, scrubber, pull, file } = await ground()
    const digest = upstream.addBlob('app', noise('one'))
    await pull('hub/app', digest)
    await flipBit(file(digest))
    await utimes(file(digest), 1000, 1000)
    expect((await scrubber.run()).damaged).toEqual([{ digest, healed: true }])
    expect((await cache.blobs.stat(digest))?.usedAt).toBe(1_000_000)
  })

  it('keeps to its budget, and ends when it is told to', async () => {
    const { upstream, scrubber, pull } = await ground()
    await pull('hub/app', upstream.addBlob('app', noise('one')))
    const asked = new AbortController()
    const slow = scrubber.run({ bytesPerSecond: 1, signal: asked.signal })
    const other = scrubber.run({ bytesPerSecond: 1 })
    expect((await scrubber.run({ bytesPerSecond: 1e9 })).checked).toBe(1)
    asked.abort(new Error('enough'))
    await expect(slow).rejects.toThrow('enough')
    const failures: Error[] = []
    other.catch((error: Error) => failures.push(error))
    await scrubber[Symbol.asyncDispose]()
    expect(failures.map(({ message }) => message)).toEqual(['shutting down'])
    expect(announced.faults).toEqual([])
    expect(announced.scrubs).toHaveLength(1)
  })
})
