import { LRUCache } from 'lru-cache'
import type { BlobStore, BlobWriter } from '../blobs/blob-store.ts'
import { algorithmOf, type Digest } from '../oci/digest.ts'
import { isKind, type Kind, RegistryError, unavailable } from '../oci/errors.ts'
import type { BlobRead } from '../oci/registry.ts'
import { publish } from '../telemetry/events.ts'
import { Fill } from './fill.ts'
import { UnstoredWriter } from './unstored-writer.ts'

/** What a fill is made from. */
export type FillSource = {
  /** Whose question to upstream opened the fill: a repository, by our name. */
  openedBy: string
  /** The upstream's origin. */
  upstream: string
  requestId?: string | undefined
  /** Asks upstream for the blob from byte `start` on. The signal ends the wait for its answer. */
  open(start: number, signal: AbortSignal): Promise<BlobRead>
  /** The blob is in the store, `size` bytes long. */
  committed(size: number): Promise<void>
}

/**
 * A fill that is running or about to: `fill` rejects where upstream would not open it, `ended` resolves once its blob is
 * in the store, or will not be.
 */
export type Flight = { openedBy: string; fill: Promise<Fill>; ended: Promise<void> }

type Opened = { read: BlobRead; writer: BlobWriter }

/** How long and how many broken transfers are kept to go on with. */
const partialTtlMs = 10 * 60_000
const maxPartials = 16

/**
 * All transfers into the store: one per digest and upstream at a time, whoever asks. An upstream that is slow, or sends
 * what is wrong, harms nobody who asks another one.
 */
export class Fills {
  readonly #blobs: BlobStore
  readonly #flights = new Map<string, Flight>()
  readonly #ends = new Set<Promise<void>>()
  readonly #running = new Set<Fill>()
  readonly #closing = new AbortController()
  readonly #partials = new LRUCache<string, BlobWriter>({
    max: maxPartials,
    ttl: partialTtlMs,
    ttlAutopurge: true,
    dispose: (writer, _, reason) => {
      if (reason !== 'delete') void discard(writer)
    },
  })

  constructor(blobs: BlobStore) {
    this.#blobs = blobs
  }

  find(digest: Digest, upstream: string): Flight | undefined {
    return this.#flights.get(keyOf(digest, upstream))
  }

  /** Whether a blob is on its way into the store, from whichever upstream. */
  has(digest: Digest): boolean {
    const prefix = keyOf(digest, '')
    return [...this.#flights.keys()].some((key) => key.startsWith(prefix))
  }

  get size(): number {
    return this.#flights.size
  }

  /** Starts a fill; there must be none like it. It stays findable until its blob is in the store. */
  start(digest: Digest, source: FillSource): Flight {
    const { openedBy, upstream } = source
    const key = keyOf(digest, upstream)
    const opened = this.#open(key, digest, source)
    const fill = opened
      .then(({ read, writer }) => new Fill(digest, read.descriptor.size, writer, () => this.#forget(key, flight)))
      .catch((error: unknown) => {
        this.#forget(key, flight) // before anybody learns of it, so that nobody finds it afterwards
        throw error
      })
    const ended = Promise.all([fill, opened])
      .then(([running, parts]) => this.#run(key, flight, running, parts, source))
      .catch(() => {}) // whoever asked was told
      .finally(() => this.#ends.delete(ended))
    const flight: Flight = { openedBy, fill, ended }
    this.#flights.set(key, flight)
    this.#ends.add(ended)
    return flight
  }

  /** Ends all fills and forgets what they left. */
  async close(): Promise<void> {
    const reason = unavailable('shutting down')
    this.#closing.abort(reason)
    for (const fill of this.#running) fill.abort(reason)
    await Promise.all(this.#ends)
    const partials = [...this.#partials.values()]
    this.#partials.clear()
    await Promise.all(partials.map(discard))
  }

  async #open(key: string, digest: Digest, source: FillSource): Promise<Opened> {
    const partial = this.#partials.get(key)
    this.#partials.delete(key)
    try {
      const { signal } = this.#closing
      signal.throwIfAborted()
      const read = await source.open(partial?.written ?? 0, signal)
      return { read, writer: partial ?? (await this.#writer(digest, read.descriptor.size)) }
    } catch (error) {
      if (partial && !this.#keep(key, partial, error)) await discard(partial)
      throw error
    }
  }

  /** A store that cannot take a blob does not keep clients from it. */
  async #writer(digest: Digest, size: number): Promise<BlobWriter> {
    try {
      return await this.#blobs.create(algorithmOf(digest), size)
    } catch (error) {
      return new UnstoredWriter(algorithmOf(digest), error)
    }
  }

  async #run(key: string, flight: Flight, fill: Fill, { read, writer }: Opened, source: FillSource): Promise<void> {
    const { digest } = fill
    const event = { digest, upstream: source.upstream, requestId: source.requestId }
    publish('cistern:fill', { phase: 'started', bytes: fill.received, ...event })
    this.#running.add(fill)
    if (this.#closing.signal.aborted) fill.abort(this.#closing.signal.reason)
    let kept = false
    try {
      await fill.run(read.body, () => source.committed(fill.size))
      publish('cistern:fill', { phase: 'committed', bytes: fill.size, ...event })
    } catch (error) {
      publish('cistern:fill', { phase: 'failed', bytes: fill.received, error, ...event })
      const kind: Kind = error instanceof RegistryError ? error.kind : 'internal'
      const where = kind === 'internal' ? 'blobs' : 'upstream'
      publish('cistern:fault', { where, kind, message: 'a fill failed', reference: digest, error, ...event })
      kept = !fill.adrift && this.#keep(key, writer, error)
    } finally {
      this.#running.delete(fill)
      this.#forget(key, flight)
      await read.body[Symbol.asyncDispose]()
      if (!kept) await fill.end()
    }
  }

  /** A flight that went adrift may have been followed by another one of the same digest. */
  #forget(key: string, flight: Flight): void {
    if (this.#flights.get(key) === flight) this.#flights.delete(key)
  }

  /** Keeps the bytes of a transfer that upstream broke off; whatever else ended it makes them worthless. */
  #keep(key: string, writer: BlobWriter, error: unknown): boolean {
    const keep = writer.written > 0 && !this.#closing.signal.aborted && isKind(error, 'unavailable', 'throttled')
    if (keep) this.#partials.set(key, writer)
    return keep
  }
}

const keyOf = (digest: Digest, upstream: string): string => `${digest} ${upstream}`

/** The bytes are worthless; that they could not be removed is told, and start-up removes them. */
async function discard(writer: BlobWriter): Promise<void> {
  try {
    await writer[Symbol.asyncDispose]()
  } catch (error) {
    publish('cistern:fault', { where: 'blobs', kind: 'internal', message: 'leftover of a fill not removed', error })
  }
}
