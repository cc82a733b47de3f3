import type { BlobStore, OpenBlob } from '../../blobs/blob-store.ts'
import type { Digest } from '../../oci/digest.ts'
import { isKind } from '../../oci/errors.ts'
import type { Body } from '../../oci/registry.ts'
import type { StoredPart } from '../oci/respond.ts'

export type ShelfOptions = {
  store: Pick<BlobStore, 'open'>
  /** Told of a blob that broke while it was read. */
  damaged: (digest: Digest, requestId: string) => void
}

/** The store as a front has it: to read, and nothing else. What is amiss there is the owner's to find out, and to mend. */
export class Shelf {
  readonly #store: ShelfOptions['store']
  readonly #damaged: ShelfOptions['damaged']

  constructor({ store, damaged }: ShelfOptions) {
    this.#store = store
    this.#damaged = damaged
  }

  /** A body whose first bytes were read, and whose owner is the caller; `undefined` where the owner has to be asked. */
  async read({ digest, size, range }: StoredPart, requestId: string): Promise<Body | undefined> {
    let blob: OpenBlob | undefined
    try {
      blob = await this.#store.open(digest)
      if (blob?.size === size) {
        const body = blob.body(range)
        await body.begin()
        return {
          sendTo: (sink, signal) =>
            body.sendTo(sink, signal).catch((error: unknown) => {
              if (isKind(error, 'corrupt')) this.#damaged(digest, requestId)
              throw error
            }),
          [Symbol.asyncDispose]: () => body[Symbol.asyncDispose](),
        }
      }
    } catch {} // the owner meets it as well, and says so
    await blob?.[Symbol.asyncDispose]()
    return undefined
  }
}
