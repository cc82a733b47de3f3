import { LRUCache } from 'lru-cache'
import type { BlobStore, BlobWriter } from '../blobs/blob-store.ts'
import { algorithmOf, type Digest } from '../oci/digest.ts'
import { isKind, type Kind, RegistryError } from '../oci/errors.ts'
import type { BlobRead } from '../oci/registry.ts'
import { publish } from '../telemetry/events.ts'
import { Fill } from './fill.ts'

/** What a fill is made from. */
export type FillSource = {
  /** Whose question to upstream opened the fill: a repository, by our name. */
  openedBy: string
  /** The upstream's origin. */
  upstream: string
  requestId?: string | undefined
  /** Asks upstream for the blob from byte `start` on. */
  open(start: number): Promise<BlobRead>
  /** The blob is in the store, `size` bytes long. */
  committed(size: number): Promise<void>
}

/** A fill that is running or about to: `fill` rejects where upstream would not open it. */
export type Flight = { openedBy: string; upstream: string; fill: Promise<Fill> }

/** How long and how many broken transfers are kept to go on with. */
const partialTtlMs = 10 * 60_000
const maxPartials = 16

/** All transfers into the store: one per digest at a time, whoever asks and through whichever upstream. */
export class Fills {
  readonly #blobs: BlobStore
  readonly #flights = new Map<Digest, Flight>()
  readonly #ends = new Set<Promise<void>>()
  readonly #running = new Set<Fill>()
  readonly #partials = new LRUCache<Digest, BlobWriter>({
    max: maxPartials,
    ttl: partialTtlMs,
    ttlAutopurge: true,
    dispose: (writer, _, reason) => {
      if (reason !== 'delete') discard(writer)
    },
  })

  constructor(blobs: BlobStore) {
    this.#blobs = blobs
  }

  find(digest: Digest): Flight | undefined {
    return this.#flights.get(digest)
  }

  get size(): number {
    return this.#flights.size
  }

  /** Starts a fill; there must be none for the digest. It stays findable until its blob is in the store. */
  start(digest: Digest, source: FillSource): Flight {
    const opened = this.#open(digest, source).catch((error: unknown) => {
      this.#flights.delete(digest) // before anybody learns of it, so that nobody finds it afterwards
      throw error
    })
    const flight = { openedBy: source.openedBy, upstream: source.upstream, fill: opened.then(({ fill }) => fill) }
    flight.fill.catch(() => {}) // a caller that left does not wait for it
    this.#flights.set(digest, flight)
    const end = opened
      .then(({ fill, read }) => this.#run(digest, fill, read, source))
      .catch(() => {}) // whoever asked was told
      .finally(() => this.#ends.delete(end))
    this.#ends.add(end)
    return flight
  }

  /** Ends all fills and forgets what they left. */
  async close(): Promise<void> {
    for (const fill of this.#running) fill.abort(new RegistryError('unavailable', 'UNAVAILABLE', 'shutting down'))
    await Promise.all(this.#ends)
    this.#partials.clear()
  }

  async #open(digest: Digest, source: FillSource): Promise<{ fill: Fill; read: BlobRead }> {
    const partial = this.#partials.get(digest)
    this.#partials.delete(digest)
    let writer = partial
    try {
      const read = await source.open(partial?.written ?? 0)
      try {
        writer ??= await this.#blobs.create(algorithmOf(digest))
        return { fill: new Fill(digest, read.descriptor.size, writer), read }
      } catch (error) {
        await read.body[Symbol.asyncDispose]()
        throw error
      }
    } catch (error) {
      if (partial) this.#keep(digest, partial, error)
      throw error
    }
  }

  async #run(digest: Digest, fill: Fill, read: BlobRead, source: FillSource): Promise<void> {
    const event = { digest, upstream: source.upstream, requestId: source.requestId }
    publish('cistern:fill', { phase: 'started', bytes: fill.received, ...event })
    this.#running.add(fill)
    try {
      await fill.run(read.body, () => source.committed(fill.size))
      publish('cistern:fill', { phase: 'committed', bytes: fill.size, ...event })
    } catch (error) {
      publish('cistern:fill', { phase: 'failed', bytes: fill.received, error, ...event })
      const kind: Kind = error instanceof RegistryError ? error.kind : 'internal'
      const where = kind === 'internal' ? 'blobs' : 'upstream'
      publish('cistern:fault', { where, kind, message: 'a fill failed', reference: digest, error, ...event })
      if (isKind(error, 'unavailable', 'throttled')) this.#keep(digest, fill.salvage(), error)
    } finally {
      this.#running.delete(fill)
      this.#flights.delete(digest)
      await read.body[Symbol.asyncDispose]()
      await fill.release()
    }
  }

  /** Keeps the bytes of a transfer that upstream broke off; whatever else ended it makes them worthless. */
  #keep(digest: Digest, writer: BlobWriter, error: unknown): void {
    if (writer.written > 0 && isKind(error, 'unavailable', 'throttled')) this.#partials.set(digest, writer)
    else discard(writer)
  }
}

/** The bytes are worthless; that they could not be removed is told, and start-up removes them. */
async function discard(writer: BlobWriter): Promise<void> {
  try {
    await writer[Symbol.asyncDispose]()
  } catch (error) {
    publish('cistern:fault', { where: 'blobs', kind: 'internal', message: 'leftover of a fill not removed', error })
  }
}
