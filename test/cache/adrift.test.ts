import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { BlobInfo, BlobWriter } from '../../src/blobs/blob-store.ts'
import { MemoryStore } from '../../src/blobs/memory.ts'
import type { Algorithm, Digest } from '../../src/oci/digest.ts'
import { collect } from '../support/collect.ts'
import { eventually } from '../support/eventually.ts'
import { given } from './given.ts'

const repository = 'hub/app'
const bytes = randomBytes(32 * 1024 * 1024)

/** A store whose disk is full after so many writes of each blob; with none, not even a file can be made. */
class FullStore extends MemoryStore {
  readonly #writes: number

  constructor(writes: number) {
    super()
    this.#writes = writes
  }

  override async create(algorithm: Algorithm): Promise<BlobWriter> {
    if (this.#writes === 0) throw new Error('ENOSPC')
    return new FullWriter(await super.create(algorithm), await super.create(algorithm), this.#writes)
  }
}

class FullWriter implements BlobWriter {
  readonly #disk: BlobWriter
  readonly #hashed: BlobWriter
  #left: number

  constructor(disk: BlobWriter, hashed: BlobWriter, left: number) {
    this.#disk = disk
    this.#hashed = hashed
    this.#left = left
  }

  get written(): number {
    return this.#disk.written
  }

  async write(chunk: Uint8Array): Promise<void> {
    await this.#hashed.write(chunk)
    this.#left -= 1
    if (this.#left < 0) throw new Error('ENOSPC')
    await this.#disk.write(chunk)
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return this.#disk.read(target, position)
  }

  digest(): Digest {
    return this.#hashed.digest()
  }

  commit(): Promise<BlobInfo> {
    return Promise.reject(new Error('ENOSPC'))
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

describe.each([
  ['can make no file', 0],
  ['is full at once', 0.5],
  ['is full in the middle', 5],
])('G90: a store that %s', (_, writes) => {
  it('does not keep a client from its blob, of which nothing stays', async () => {
    const { cache, upstream, registry } = given({}, { blobs: new FullStore(writes) })
    const digest = upstream.addBlob('app', bytes)
    const { body } = await registry.blob(repository, digest)
    expect((await collect(body)).equals(bytes)).toBe(true)
    expect(await cache.blobs.stat(digest)).toBeUndefined()
    await eventually(async () => expect(cache.fills.size).toBe(0))
    const again = await registry.blob(repository, digest)
    expect((await collect(again.body)).equals(bytes)).toBe(true)
  })

  it('serves several clients by one transfer, at the pace of the slowest, in bounded memory', async () => {
    const { upstream, registry } = given({}, { blobs: new FullStore(writes) })
    const digest = upstream.addBlob('app', bytes)
    const gate = Promise.withResolvers<void>()
    upstream.gate = gate.promise
    const opening = [registry.blob(repository, digest), registry.blob(repository, digest)]
    gate.resolve()
    const [slow, fast] = await Promise.all(opening)
    const stuck = Promise.withResolvers<void>()
    const chunks: Buffer[] = []
    const slowly = slow?.body.sendTo({
      write: async (chunk) => {
        chunks.push(Buffer.from(chunk))
        await stuck.promise
      },
    })
    let got = 0
    const quickly = fast?.body.sendTo({
      write: (chunk) => {
        got += chunk.length
      },
    })
    await eventually(async () => expect(got).toBeGreaterThan(10 * 1024 * 1024))
    expect(got).toBeLessThan(28 * 1024 * 1024)
    stuck.resolve()
    await Promise.all([slowly, quickly])
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true)
    expect(got).toBe(bytes.length)
    expect(upstream.count('blob')).toBe(1)
  })

  it('ends the transfer when nobody is left to read it', async () => {
    const { cache, upstream, registry } = given({}, { blobs: new FullStore(writes) })
    const digest = upstream.addBlob('app', bytes)
    const { body } = await registry.blob(repository, digest)
    const client = new AbortController()
    const reading = body.sendTo(
      {
        write: (chunk) => {
          if (chunk.length > 0) client.abort(new Error('left'))
        },
      },
      client.signal,
    )
    await expect(reading).rejects.toThrow('left')
    await body[Symbol.asyncDispose]()
    await eventually(async () => expect(cache.fills.size).toBe(0))
  })
})
