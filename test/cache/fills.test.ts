import { randomBytes } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { BlobInfo, BlobWriter } from '../../src/blobs/blob-store.ts'
import { MemoryStore } from '../../src/blobs/memory.ts'
import { Fills } from '../../src/cache/fills.ts'
import { type Algorithm, type Digest, Digester } from '../../src/oci/digest.ts'
import { unavailable } from '../../src/oci/errors.ts'
import type { Sink } from '../../src/oci/registry.ts'
import { collect } from '../support/collect.ts'
import { eventually } from '../support/eventually.ts'
import { given } from './given.ts'
import { ScriptedRegistry } from './scripted-registry.ts'

const repository = 'hub/app'
const mib = 1024 * 1024
const bytes = randomBytes(12 * mib)

/** A store whose writers take so many bytes each, hash in the background as a disk's do, and count who was closed. */
class SmallStore extends MemoryStore {
  room = Number.POSITIVE_INFINITY
  unclosed = 0

  override async create(algorithm: Algorithm): Promise<BlobWriter> {
    this.unclosed++
    return new SmallWriter(await super.create(algorithm), new Digester(algorithm), this)
  }
}

class SmallWriter implements BlobWriter {
  readonly #inner: BlobWriter
  readonly #digester: Digester
  readonly #store: SmallStore
  #digest: Digest | undefined
  #full = false

  constructor(inner: BlobWriter, digester: Digester, store: SmallStore) {
    this.#inner = inner
    this.#digester = digester
    this.#store = store
  }

  get written(): number {
    return this.#inner.written
  }

  async write(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length; at += 256 * 1024) {
      await nextTurn()
      this.#digester.update(chunk.subarray(at, at + 256 * 1024))
    }
    this.#full ||= this.written + chunk.length > this.#store.room
    if (this.#full) throw new Error('ENOSPC')
    await this.#inner.write(chunk)
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return this.#inner.read(target, position)
  }

  digest(): Digest {
    this.#digest ??= this.#digester.finish()
    return this.#digest
  }

  async commit(expected: { digest: Digest; size?: number }): Promise<BlobInfo> {
    if (this.#full) throw new Error('ENOSPC')
    return this.#inner.commit(expected)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#store.unclosed--
    await this.#inner[Symbol.asyncDispose]()
  }
}

/** Sends the first `length` bytes, waits until told to go on, and then sends the rest, or breaks off. */
function halfway(length: number, broken?: Error) {
  const go = Promise.withResolvers<void>()
  const sending = async (part: Uint8Array, sink: Sink, signal: AbortSignal) => {
    for (let at = 0; at < length; at += mib) await sink.write(part.subarray(at, Math.min(at + mib, length)))
    await go.promise
    signal.throwIfAborted()
    if (broken) throw broken
    await sink.write(part.subarray(length))
  }
  return { sending, go: () => go.resolve() }
}

/** Reads as fast as it goes. */
function reader() {
  let got = 0
  const sink = {
    write: (chunk: Uint8Array) => {
      if (chunk.length === 0) throw new Error('nothing was sent')
      got += chunk.length
    },
  }
  return { sink, got: () => got }
}

describe('a fill whose disk fails', () => {
  it('hashes what a fast reader has already, whatever comes after it', async () => {
    const blobs = new SmallStore()
    blobs.room = 0
    const { upstream, registry } = given({}, { blobs })
    const digest = upstream.addBlob('app', bytes)
    upstream.sending = async (part, sink) => {
      for (let at = 0; at < part.length; at += 64 * 1024) await sink.write(part.subarray(at, at + 64 * 1024))
    }
    const { body } = await registry.blob(repository, digest)
    expect((await collect(body)).equals(bytes)).toBe(true)
  })

  it('is not joined for bytes that are gone, by one who proved his right meanwhile', async () => {
    const blobs = new SmallStore()
    blobs.room = 0
    const { upstream, registry } = given({}, { blobs })
    const digest = upstream.addBlob('app', bytes)
    upstream.addBlob('other', bytes)
    const first = reader()
    const asked = Promise.withResolvers<void>()
    const proven = Promise.withResolvers<void>()
    upstream.sending = async (part, sink) => {
      await sink.write(part.subarray(0, mib / 2))
      await asked.promise
      await sink.write(part.subarray(mib / 2, 4 * mib))
      await eventually(async () => expect(first.got()).toBe(4 * mib))
      await sink.write(part.subarray(4 * mib, 8 * mib))
      await proven.promise
      await sink.write(part.subarray(8 * mib))
    }
    const { body } = await registry.blob(repository, digest)
    const reading = body.sendTo(first.sink)
    const gate = Promise.withResolvers<void>()
    upstream.gate = gate.promise
    const joining = registry.blob('hub/other', digest)
    await eventually(async () => expect(upstream.count('stat')).toBe(1))
    asked.resolve()
    await eventually(async () => expect(first.got()).toBe(8 * mib))
    upstream.sending = async (part, sink) => void (await sink.write(part))
    gate.resolve()
    const late = reader()
    const joined = (await joining).body.sendTo(late.sink)
    proven.resolve()
    await Promise.all([reading, joined])
    expect(late.got()).toBe(bytes.length)
  })

  it('leaves nothing to go on with where upstream breaks off too', async () => {
    const blobs = new SmallStore()
    blobs.room = 3 * mib
    const { cache, upstream, registry } = given({}, { blobs })
    const digest = upstream.addBlob('app', bytes)
    const half = halfway(8 * mib, unavailable('broken off'))
    upstream.sending = half.sending
    const { body } = await registry.blob(repository, digest)
    const { sink, got } = reader()
    const reading = body.sendTo(sink)
    await eventually(async () => expect(got()).toBeGreaterThan(7 * mib))
    half.go()
    await expect(reading).rejects.toThrow('broken off')
    await body[Symbol.asyncDispose]()
    await eventually(async () => expect(cache.fills.size + blobs.unclosed).toBe(0))
    blobs.room = Number.POSITIVE_INFINITY
    upstream.sending = async (part, to) => void (await to.write(part))
    const again = await registry.blob(repository, digest)
    expect((await collect(again.body)).equals(bytes)).toBe(true)
  })
})

describe('what a broken transfer left', () => {
  it('is closed where upstream does not give the rest', async () => {
    const blobs = new SmallStore()
    const { cache, upstream, registry } = given({ negativeTtlMs: 0 }, { blobs })
    const digest = upstream.addBlob('app', bytes)
    const half = halfway(8 * mib, unavailable('broken off'))
    upstream.sending = half.sending
    half.go()
    const { body } = await registry.blob(repository, digest)
    await expect(collect(body)).rejects.toThrow('broken off')
    await eventually(async () => expect(cache.fills.size).toBe(0))
    expect(blobs.unclosed).toBe(1)
    upstream.removeBlob('app', digest)
    await expect(registry.blob(repository, digest)).rejects.toThrow('unknown')
    await eventually(async () => expect(blobs.unclosed).toBe(0))
  })
})

describe('what a broken transfer of one upstream left', () => {
  it('is nothing that another one goes on with: it may be wrong', async () => {
    const { cache, upstream, registry, open } = given()
    const digest = upstream.addBlob('app', bytes)
    upstream.sending = async (_, sink) => {
      await sink.write(Buffer.alloc(8 * mib, 'wrong'))
      throw unavailable('broken off')
    }
    const { body } = await registry.blob(repository, digest)
    await expect(collect(body)).rejects.toThrow('broken off')
    await body[Symbol.asyncDispose]()
    await eventually(async () => expect(cache.fills.size).toBe(0))
    const other = new ScriptedRegistry()
    other.addBlob('app', bytes)
    const again = await open(other, { upstream: 'https://other.test' }).blob(repository, digest)
    expect((await collect(again.body)).equals(bytes)).toBe(true)
  })
})

describe('closing all fills', () => {
  it('closes what broken transfers left to go on with', async () => {
    const blobs = new SmallStore()
    const fills = new Fills(blobs)
    const { upstream, registry } = given({}, { blobs, fills })
    const digest = upstream.addBlob('app', bytes)
    const half = halfway(8 * mib, unavailable('broken off'))
    upstream.sending = half.sending
    half.go()
    const { body } = await registry.blob(repository, digest)
    await expect(collect(body)).rejects.toThrow('broken off')
    await eventually(async () => expect(fills.size).toBe(0))
    expect(blobs.unclosed).toBe(1)
    await fills.close()
    expect(blobs.unclosed).toBe(0)
  })

  it('waits neither for an upstream that does not answer nor for a transfer that begins meanwhile', async () => {
    const blobs = new SmallStore()
    const fills = new Fills(blobs)
    const { upstream, registry } = given({}, { blobs, fills })
    const digest = upstream.addBlob('app', bytes)
    const gate = Promise.withResolvers<void>()
    upstream.gate = gate.promise
    const opening = registry.blob(repository, digest)
    await eventually(async () => expect(upstream.count('blob')).toBe(1))
    const closing = fills.close()
    gate.resolve()
    await expect(opening).rejects.toThrow('shutting down')
    await closing
    expect(await blobs.stat(digest)).toBeUndefined()
    expect(blobs.unclosed).toBe(0)
  })
})
