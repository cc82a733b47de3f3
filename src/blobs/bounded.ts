import { setTimeout as delay } from 'node:timers/promises'
import type { Algorithm, Digest } from '../oci/digest.ts'
import { isKind } from '../oci/errors.ts'
import type { BlobInfo, BlobStore, BlobWriter, OpenBlob } from './blob-store.ts'
import { isCode } from './file-system.ts'

export type Bounds = {
  /** The high mark, in bytes. */
  maxSize: number
  /** Bytes that the volume lacks of those that are to stay free on it; less than 0 where there are more. */
  lacking: () => Promise<number>
}

export type Usage = {
  /** Bytes of whole blobs. */
  stored: number
  objects: number
  /** Bytes that blobs in the making have or will have. */
  expected: number
  /** The last blob that came could not be stored. */
  degraded: boolean
}

/** There is no room for a blob, and none could be made. */
export class StoreFull extends Error {
  override readonly name = 'StoreFull'
}

/** How long a blob waits, in milliseconds, for what was there before to be counted. Where that takes longer, it goes on. */
const countingPatienceMs = 1000

/** Room is made ahead of need once less than this part of the store is left. */
const headroom = 0.02

/** A store within bounds: it takes a blob only where there is room for all of it, and has room made where there is not. */
export class BoundedStore implements BlobStore, Disposable {
  readonly #inner: BlobStore
  readonly #bounds: Bounds
  readonly #makeRoom: (bytes: number) => Promise<void>
  readonly #usage: Usage = { stored: 0, objects: 0, expected: 0, degraded: false }
  /** The last commit of each digest that is under way. */
  readonly #commits = new Map<Digest, Promise<void>>()
  /** What they have written is on the volume already. */
  readonly #writers = new Set<BlobWriter>()
  readonly #measured: Promise<void>
  /** While what was there before is counted: what came meanwhile, and is counted already. */
  #committed: Set<Digest> | undefined = new Set()
  /** Meanwhile something went, or was replaced, of which nobody knows whether it was counted. */
  #miscounted = false
  #closed = false

  /**
   * Begins to count what is there; nothing is deleted before that is done. `makeRoom` deletes blobs of so many bytes
   * or more in all, as far as there are any to delete.
   */
  constructor(inner: BlobStore, bounds: Bounds, makeRoom: (bytes: number) => Promise<void>) {
    this.#inner = inner
    this.#bounds = bounds
    this.#makeRoom = makeRoom
    this.#measured = this.#measure()
    this.#measured.then(() => this.#reserve(0)).catch(() => {}) // told to whoever needs the count, or room
  }

  get usage(): Readonly<Usage> {
    return this.#usage
  }

  /** Resolves once what was there at the start is counted; rejects where the store was closed before. */
  get measured(): Promise<void> {
    return this.#measured
  }

  /** Bytes that must go so that what is expected fits. */
  async excess(): Promise<number> {
    const { stored, expected } = this.#usage
    return Math.max(0, stored + expected - this.#bounds.maxSize, await this.#lacking(expected))
  }

  /** Bytes that it takes without anything having to go, now or ahead of need; less than 0 where something has to. */
  async room(): Promise<number> {
    await this.#measured
    const { stored, expected } = this.#usage
    return Math.min(
      Math.floor(this.#bounds.maxSize * (1 - headroom)) - stored - expected,
      -(await this.#lacking(expected)),
    )
  }

  async create(algorithm: Algorithm, size: number): Promise<BlobWriter> {
    if (size > this.#bounds.maxSize) throw new StoreFull(`${size} bytes are more than the store may hold at all`)
    this.#usage.expected += size
    try {
      if (this.#committed)
        await Promise.race([this.#measured.catch(() => {}), delay(countingPatienceMs, undefined, { ref: false })])
      await this.#reserve(size)
      const writer = await this.#inner.create(algorithm, size)
      this.#writers.add(writer)
      return new BoundedWriter(writer, {
        commit: (info, before) => this.#stored(info, before),
        failed: (error) => this.#refused(error, size - writer.written),
        stat: (digest) => this.#inner.stat(digest),
        inTurn: (digest, commit) => this.#inTurn(digest, commit),
        end: () => {
          this.#writers.delete(writer)
          this.#usage.expected -= size
        },
      })
    } catch (error) {
      this.#usage.expected -= size
      this.#refused(error, size)
      throw error
    }
  }

  /** Has room made for so many bytes, which nobody is promised. Throws `StoreFull`. */
  async makeRoom(size: number): Promise<void> {
    if (size > this.#bounds.maxSize) throw new StoreFull(`${size} bytes are more than the store may hold at all`)
    this.#usage.expected += size
    try {
      await this.#reserve(size)
    } finally {
      this.#usage.expected -= size
    }
  }

  async delete(digest: Digest): Promise<boolean> {
    await this.#measured
    const info = await this.#inner.stat(digest)
    const deleted = await this.#inner.delete(digest)
    if (deleted && info) this.#count(-info.size, -1)
    return deleted
  }

  async quarantine(digest: Digest, found?: OpenBlob): Promise<boolean> {
    const info = await this.#inner.stat(digest)
    const moved = await this.#inner.quarantine(digest, found)
    if (!moved || !info) return moved
    if (!this.#committed || this.#committed.delete(digest)) this.#count(-info.size, -1)
    else this.#miscounted = true
    return true
  }

  stat(digest: Digest): Promise<BlobInfo | undefined> {
    return this.#inner.stat(digest)
  }

  open(digest: Digest): Promise<OpenBlob | undefined> {
    return this.#inner.open(digest)
  }

  touch(digest: Digest, usedAt: number): Promise<void> {
    return this.#inner.touch(digest, usedAt)
  }

  list(): AsyncIterable<BlobInfo> {
    return this.#inner.list()
  }

  /** Bytes that the volume lacks of what is to stay free on it once all that is expected is there. */
  async #lacking(expected: number): Promise<number> {
    const lacking = await this.#bounds.lacking()
    const written = [...this.#writers].reduce((sum, writer) => sum + writer.written, 0)
    return lacking + expected - written
  }

  /** Who counts a large store keeps the process from its end. */
  [Symbol.dispose](): void {
    this.#closed = true
  }

  async #reserve(size: number): Promise<void> {
    const excess = await this.excess()
    if (excess === 0) {
      const { stored, expected } = this.#usage
      const nearly = stored + expected > this.#bounds.maxSize * (1 - headroom)
      if (nearly) this.#makeRoom(0).catch(() => {}) // told when there is need
      return
    }
    await this.#measured
    // The first turn may be shared with somebody who needed less.
    for (let left = excess, turn = 0; left > 0; left = await this.excess(), turn++) {
      if (turn === 2 || left > this.#usage.stored) throw new StoreFull(`there is no room for ${size} bytes`)
      await this.#makeRoom(left)
    }
  }

  /** Commits of one digest come one after the other, so that each sees what it replaces. */
  #inTurn<T>(digest: Digest, commit: () => Promise<T>): Promise<T> {
    const committed = (this.#commits.get(digest) ?? Promise.resolve()).then(commit)
    const over: Promise<void> = Promise.allSettled([committed]).then(() => {
      if (this.#commits.get(digest) === over) this.#commits.delete(digest)
    })
    this.#commits.set(digest, over)
    return committed
  }

  #stored({ digest, size }: BlobInfo, before: BlobInfo | undefined): void {
    this.#usage.degraded = false
    if (!this.#committed || this.#committed.has(digest)) {
      this.#count(size - (before?.size ?? 0), before ? 0 : 1)
    } else {
      this.#committed.add(digest)
      this.#count(size, 1)
      this.#miscounted ||= before !== undefined
    }
  }

  /** A disk that says it is full knows better than any count. Nothing goes for what would not fit all the same. */
  #refused(error: unknown, missing: number): void {
    if (isKind(error, 'corrupt')) return
    this.#usage.degraded = true
    const helps = isCode(error, 'ENOSPC', 'EDQUOT') && missing <= this.#usage.stored
    if (helps) this.#makeRoom(missing).catch(() => {}) // told when there is need
  }

  async #measure(): Promise<void> {
    do {
      this.#miscounted = false
      const counted = { bytes: 0, objects: 0 }
      for await (const { digest, size } of this.#inner.list()) {
        if (this.#closed) throw new Error('the store was closed before all that is in it was counted')
        if (this.#committed?.has(digest)) continue
        counted.bytes += size
        counted.objects += 1
        this.#count(size, 1)
      }
      if (this.#miscounted) this.#count(-counted.bytes, -counted.objects)
    } while (this.#miscounted)
    this.#committed = undefined
  }

  #count(bytes: number, objects: number): void {
    this.#usage.stored += bytes
    this.#usage.objects += objects
  }
}

type Accounts = {
  stat: (digest: Digest) => Promise<BlobInfo | undefined>
  inTurn: <T>(digest: Digest, commit: () => Promise<T>) => Promise<T>
  commit: (info: BlobInfo, before: BlobInfo | undefined) => void
  failed: (error: unknown) => void
  end: () => void
}

/** Tells the store when what was expected is stored, or never will be. */
class BoundedWriter implements BlobWriter {
  readonly #inner: BlobWriter
  readonly #accounts: Accounts
  #failed = false
  #ended = false

  constructor(inner: BlobWriter, accounts: Accounts) {
    this.#inner = inner
    this.#accounts = accounts
  }

  get written(): number {
    return this.#inner.written
  }

  write(chunk: Uint8Array): Promise<void> {
    return this.#inner.write(chunk).catch((error: unknown) => this.#fail(error))
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return this.#inner.read(target, position)
  }

  digest(): Digest {
    return this.#inner.digest()
  }

  async commit(expected: { digest: Digest; size?: number }): Promise<BlobInfo> {
    return this.#accounts.inTurn(expected.digest, async () => {
      const before = await this.#accounts.stat(expected.digest)
      const info = await this.#inner.commit(expected).catch((error: unknown) => this.#fail(error))
      this.#accounts.commit(info, before)
      this.#end()
      return info
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end()
    await this.#inner[Symbol.asyncDispose]()
  }

  #fail(error: unknown): never {
    if (!this.#failed) this.#accounts.failed(error)
    this.#failed = true
    throw error
  }

  #end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#accounts.end()
  }
}
