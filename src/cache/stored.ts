import type { BlobStore, OpenBlob } from '../blobs/blob-store.ts'
import { algorithmOf, type Digest, Digester } from '../oci/digest.ts'
import { corrupt, isKind, type RegistryError } from '../oci/errors.ts'
import { type ByteRange, type RangeSpec, resolveRange } from '../oci/range.ts'
import type { Body } from '../oci/registry.ts'
import { publish } from '../telemetry/events.ts'

export type Reading = { range?: RangeSpec | undefined; requestId?: string | undefined }

/**
 * The store as its readers meet it on a disk that fails: what is found damaged is announced, put aside, and not there.
 * Whoever asks next fetches it.
 */
export class Stored {
  readonly #blobs: BlobStore
  readonly #replaceable: boolean

  /** `replaceable`: what cannot be opened just now can be had elsewhere, and counts as not there. */
  constructor(blobs: BlobStore, replaceable: boolean) {
    this.#blobs = blobs
    this.#replaceable = replaceable
  }

  /**
   * A blob of that size, or a range of it, whose first bytes were read: nothing is promised that cannot be begun. The
   * caller owns the body. Throws `range`, and `unavailable` where it cannot be opened.
   */
  async read(digest: Digest, size: number, reading: Reading): Promise<{ body: Body; range?: ByteRange } | undefined> {
    return this.#with(digest, reading.requestId, async (blob) => {
      if (blob.size !== size) {
        const message = `a stored blob has ${blob.size} bytes in place of ${size}`
        tell(digest, reading.requestId, corrupt(message))
        return undefined
      }
      const range = reading.range && resolveRange(reading.range, size)
      const body = blob.body(range)
      await body.begin()
      const guarded: Body = {
        sendTo: (sink, signal) =>
          body.sendTo(sink, signal).catch(async (error: unknown) => {
            if (isKind(error, 'corrupt')) await this.#putAside(digest, blob, error, reading.requestId)
            throw error
          }),
        [Symbol.asyncDispose]: () => body[Symbol.asyncDispose](),
      }
      return { body: guarded, ...(range && { range }) }
    })
  }

  /** Reads a blob to its end, if it is `wanted`. Resolves to its size where it hashes right. */
  async verify(
    digest: Digest,
    wanted: (blob: OpenBlob) => boolean,
    { take, requestId }: { take?: (chunk: Uint8Array) => void; requestId?: string } = {},
  ): Promise<number | undefined> {
    return this.#with(digest, requestId, async (blob) => {
      if (!wanted(blob)) return undefined
      const digester = new Digester(algorithmOf(digest))
      await using body = blob.body()
      await body.sendTo({
        write: (chunk) => {
          digester.update(chunk)
          take?.(chunk)
        },
      })
      if (digester.finish() !== digest) throw corrupt('a stored blob has other bytes than its digest says')
      return blob.size
    })
  }

  /** The same with all its bytes. */
  async bytes(digest: Digest, wanted: (blob: OpenBlob) => boolean): Promise<Uint8Array | undefined> {
    const chunks: Uint8Array[] = []
    const size = await this.verify(digest, wanted, { take: (chunk) => void chunks.push(Buffer.from(chunk)) })
    return size === undefined ? undefined : Buffer.concat(chunks, size)
  }

  /** A blob that nothing came of is closed; what did come of it closes it. */
  async #with<T>(
    digest: Digest,
    requestId: string | undefined,
    use: (blob: OpenBlob) => Promise<T>,
  ): Promise<T | undefined> {
    let blob: OpenBlob | undefined
    let result: T | undefined
    try {
      blob = await this.#blobs.open(digest)
      result = blob && (await use(blob))
    } catch (error) {
      if (isKind(error, 'corrupt')) await this.#putAside(digest, blob, error, requestId)
      else if (isKind(error, 'unavailable') && this.#replaceable) tell(digest, requestId, error)
      else throw error
    } finally {
      if (result === undefined) await blob?.[Symbol.asyncDispose]()
    }
    return result
  }

  async #putAside(digest: Digest, blob: OpenBlob | undefined, error: RegistryError, requestId: string | undefined) {
    tell(digest, requestId, error)
    try {
      await this.#blobs.quarantine(digest, blob)
    } catch (failure) {
      tell(digest, requestId, corrupt('a damaged blob could not be put aside', { cause: failure }))
    }
  }
}

function tell(digest: Digest, requestId: string | undefined, error: RegistryError): void {
  const { kind, message } = error
  publish('cistern:fault', { where: 'blobs', kind, message, reference: digest, requestId, error })
}
