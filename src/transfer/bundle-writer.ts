import { once } from 'node:events'
import { type Pack, pack } from 'tar-stream'
import type { BlobStore, OpenBlob } from '../blobs/blob-store.ts'
import { algorithmOf, type Digest, Digester } from '../oci/digest.ts'
import { corrupt, isKind, type RegistryError, unavailable } from '../oci/errors.ts'
import type { Body, Sink } from '../oci/registry.ts'
import { publish } from '../telemetry/events.ts'

/** A file of an archive: its bytes, or the blob that has them. */
export type Entry = { path: string } & ({ bytes: Uint8Array } | { digest: Digest; size: number })

type Target = ReturnType<Pack['entry']>

/** An archive that is made while it is sent, and the same whenever it is made of the same. */
export class TarBody implements Body {
  readonly #entries: readonly Entry[]
  readonly #blobs: BlobStore
  readonly #held: Disposable

  /** Disposes `held` when it is disposed itself. */
  constructor(entries: readonly Entry[], blobs: BlobStore, held: Disposable) {
    this.#entries = entries
    this.#blobs = blobs
    this.#held = held
  }

  async sendTo(sink: Sink, signal?: AbortSignal): Promise<void> {
    const archive = pack()
    const filling = this.#fill(archive, signal).catch((error: Error) => archive.destroy(error))
    try {
      for await (const chunk of archive as AsyncIterable<Uint8Array>) await sink.write(chunk)
    } finally {
      archive.destroy()
      await filling
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#held[Symbol.dispose]()
  }

  async #fill(archive: Pack, signal: AbortSignal | undefined): Promise<void> {
    for (const entry of this.#entries) {
      signal?.throwIfAborted()
      const size = 'bytes' in entry ? entry.bytes.length : entry.size
      const target = archive.entry({ name: entry.path, size, mode: 0o644, mtime: new Date(0), type: 'file' })
      const over = once(target, 'close')
      over.catch(() => {}) // told by whoever destroyed it
      if ('bytes' in entry) target.write(entry.bytes)
      else await this.#send(entry, writerTo(target, over), signal)
      target.end(null)
      await over
    }
    archive.finalize()
  }

  async #send(
    { digest, size }: { digest: Digest; size: number },
    write: (chunk: Uint8Array) => Promise<void>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    await using blob = await this.#blobs.open(digest)
    if (!blob) throw unavailable(`${digest} went away while it was to be exported`)
    try {
      if (blob.size !== size) throw corrupt(`the stored blob ${digest} has ${blob.size} bytes in place of ${size}`)
      const digester = new Digester(algorithmOf(digest))
      await using body = blob.body()
      const take = (chunk: Uint8Array) => {
        digester.update(chunk)
        return write(Buffer.from(chunk))
      }
      await body.sendTo({ write: take }, signal)
      if (digester.finish() !== digest) throw corrupt(`the stored blob ${digest} has other bytes than its digest says`)
    } catch (error) {
      if (isKind(error, 'corrupt')) await this.#putAside(digest, blob, error)
      throw error
    }
  }

  /** Whoever pulls it next fetches it anew. */
  async #putAside(digest: Digest, blob: OpenBlob, error: RegistryError): Promise<void> {
    publish('cistern:fault', { where: 'blobs', kind: 'corrupt', message: error.message, reference: digest, error })
    await this.#blobs.quarantine(digest, blob)
  }
}

/** A file that is closed early, for nobody takes the archive, takes no more either. */
const writerTo = (target: Target, over: Promise<unknown>) => async (chunk: Uint8Array) => {
  if (!target.write(chunk)) await Promise.race([once(target, 'drain'), over])
  if (target.destroyed) throw new Error('the archive was closed before its end')
}
