import type { Hold } from '../async/holds.ts'
import type { BlobStore, BlobWriter } from '../blobs/blob-store.ts'
import { algorithmOf, type Digest, Digester } from '../oci/digest.ts'
import { corrupt, isKind, unavailable } from '../oci/errors.ts'
import { maxManifestSize } from '../oci/manifest.ts'
import { type Listing, listingsIn } from './bundle-index.ts'
import { type BundleEntry, entriesOf } from './bundle-reader.ts'
import { digestsIn, maxInventory } from './inventory.ts'
import { digestAt, files } from './layout.ts'
import { invalid, record } from './request.ts'

export type IntakeOptions = {
  blobs: BlobStore
  /** Bytes that the store can take without anything having to go. */
  room: () => Promise<number>
  /** Of what is in the bundle, and of what it stores. */
  hold: Hold<Digest>
  /** Where images belong that have no whole name in the bundle. */
  repository?: string | undefined
  /** The name that somebody means who writes it so. */
  meant: (name: string) => string
  signal?: AbortSignal | undefined
}

/** Written at once. */
const batchSize = 1024 * 1024

/**
 * Takes the blobs of a bundle into the store, each verified by the digest that it has there. Nobody is shown any of them
 * before something links to them. What is in the store already is verified in the bundle, and not written again.
 */
export class Intake {
  readonly #options: IntakeOptions
  /** What came into the store. */
  readonly stored = new Map<Digest, number>()
  /** What was there already. */
  readonly skipped = new Map<Digest, number>()
  /** What is in the bundle and is not what its digest says. */
  readonly damaged = new Map<Digest, string>()
  /** What should have been in the bundle, or in the store of who gets it, by the inventory of the bundle. */
  expected: ReadonlySet<Digest> | undefined
  #listings: Listing[] | undefined

  constructor(options: IntakeOptions) {
    this.#options = options
  }

  /** Reads the bundle to its end. Throws `invalid` for what is no layout, and what `entriesOf` throws. */
  async take(source: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const entry of entriesOf(source)) {
      this.#options.signal?.throwIfAborted()
      const digest = digestAt(entry.path)
      if (digest) await this.#takeBlob(digest, entry)
      else await this.#takeFile(entry)
    }
    if (!this.#listings) throw invalid('it has no index.json: it is no OCI image layout')
  }

  get listings(): readonly Listing[] {
    return this.#listings ?? []
  }

  async #takeFile(entry: BundleEntry): Promise<void> {
    if (entry.path === files.layout) assertVersion(await whole(entry, 4096))
    if (entry.path === files.inventory) await this.#takeInventory(entry)
    if (entry.path !== files.index) return
    const listings = listingsIn(await whole(entry, maxManifestSize), this.#options.repository, this.#options.meant)
    const [first] = listings
    if (first && 'unnamed' in first && listings.every((each) => 'unnamed' in each)) {
      throw invalid(`nothing in it can be named: ${first.label}: ${first.unnamed}`)
    }
    this.#listings = listings
  }

  /** A file of that name in a layout of another tool is none of ours. */
  async #takeInventory(entry: BundleEntry): Promise<void> {
    if (entry.size > maxInventory) return
    const text = Buffer.from(await whole(entry, maxInventory)).toString()
    try {
      this.expected = digestsIn(text)
    } catch (error) {
      if (!isKind(error, 'invalid')) throw error
    }
  }

  async #takeBlob(digest: Digest, entry: BundleEntry): Promise<void> {
    const { blobs, hold } = this.#options
    hold.add(digest)
    try {
      if ((await blobs.stat(digest))?.size === entry.size) {
        await verify(digest, entry)
        this.skipped.set(digest, entry.size)
      } else {
        await this.#store(digest, entry)
        this.stored.set(digest, entry.size)
      }
    } catch (error) {
      if (!isKind(error, 'corrupt')) throw error
      this.damaged.set(digest, error.message)
    }
  }

  async #store(digest: Digest, { size, content }: BundleEntry): Promise<void> {
    const { blobs, room } = this.#options
    const left = await room()
    if (size > left) throw full(size, left)
    await using writer = await blobs.create(algorithmOf(digest), size)
    await write(writer, content, size)
    await writer.commit({ digest, size })
  }
}

const full = (size: number, left: number) =>
  unavailable(
    `the bundle does not fit: a blob of it has ${size} bytes, and there is room for ${Math.max(0, left)} more`,
  )

/** In batches: a store takes few large writes quicker than many small ones. */
async function write(writer: BlobWriter, content: AsyncIterable<Uint8Array>, size: number): Promise<void> {
  const batch = Buffer.allocUnsafeSlow(Math.min(batchSize, size))
  let length = 0
  for await (const chunk of content) {
    for (let taken = 0; taken < chunk.length; ) {
      const part = chunk.subarray(taken, taken + batch.length - length)
      batch.set(part, length)
      length += part.length
      taken += part.length
      if (length < batch.length) continue
      await writer.write(batch)
      length = 0
    }
  }
  if (length > 0) await writer.write(batch.subarray(0, length))
}

async function verify(digest: Digest, { content }: BundleEntry): Promise<void> {
  const digester = new Digester(algorithmOf(digest))
  for await (const chunk of content) digester.update(chunk)
  if (digester.finish() !== digest) throw corrupt('it has other bytes than its digest says')
}

async function whole({ path, size, content }: BundleEntry, most: number): Promise<Uint8Array> {
  if (size > most) throw invalid(`${path} has ${size} bytes, and may have ${most}`)
  return Buffer.concat(await Array.fromAsync(content))
}

function assertVersion(bytes: Uint8Array): void {
  let version: unknown
  try {
    version = record(JSON.parse(Buffer.from(bytes).toString())).imageLayoutVersion
  } catch {
    throw invalid('its oci-layout cannot be read')
  }
  if (typeof version !== 'string' || !version.startsWith('1.'))
    throw invalid('it is a layout of another version than 1')
}
