import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { blobUnknown, manifestUnknown, nameUnknown, type RegistryError } from '../../src/oci/errors.ts'
import { type RangeSpec, resolveRange } from '../../src/oci/range.ts'
import { type Reference, referenceText } from '../../src/oci/reference.ts'
import type {
  BlobRead,
  Body,
  Manifest,
  Outcome,
  Page,
  Pull,
  Referrer,
  ReferrerList,
  Registry,
  Resolved,
  TagPage,
} from '../../src/oci/registry.ts'

/** Sends the chunks of a body that is not what it should be. */
type Misbehaviour = (send: (chunk: Uint8Array) => Promise<void> | void, bytes: Uint8Array) => Promise<void>

/** A registry in memory that remembers what it was asked and can be made to misbehave. */
export class MemoryRegistry implements Registry {
  /** Each question as `method repository reference`, in order. */
  readonly asked: string[] = []
  /** Bodies handed out and not yet disposed. */
  open = 0
  outcome: Outcome | undefined
  /** Whether the bytes of blobs are at hand. */
  hasBytes = false
  /** Thrown at every question from now on. */
  failure: RegistryError | Error | undefined
  /** Replaces the sending of blobs. */
  misbehaviour: Misbehaviour | undefined
  /** Whether questions count as questions to an upstream. */
  upstream = false
  readonly #manifests = new Map<string, Manifest>()
  readonly #blobs = new Map<string, Uint8Array>()
  readonly #tags = new Map<string, string[]>()
  readonly #referrers = new Map<string, Referrer[]>()

  addManifest(repository: string, tag: string, manifest: object | string): Digest {
    const bytes = Buffer.from(typeof manifest === 'string' ? manifest : JSON.stringify(manifest))
    const mediaType = 'application/vnd.oci.image.manifest.v1+json'
    const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length }
    for (const reference of [tag, descriptor.digest]) {
      this.#manifests.set(`${repository} ${reference}`, { descriptor, bytes })
    }
    this.#tags.set(repository, [...(this.#tags.get(repository) ?? []), tag].sort())
    return descriptor.digest
  }

  addBlob(repository: string, bytes: Uint8Array): Digest {
    const digest = digestOf(bytes)
    this.#blobs.set(`${repository} ${digest}`, bytes)
    return digest
  }

  addReferrers(repository: string, subject: Digest, referrers: Referrer[]): void {
    this.#referrers.set(`${repository} ${subject}`, referrers)
  }

  async resolve(reference: Reference, pull?: Pull): Promise<Resolved> {
    this.#ask('resolve', reference.repository, referenceText(reference), pull)
    return { descriptor: this.#manifest(reference).descriptor, ...this.#outcome() }
  }

  async manifest(reference: Reference, pull?: Pull): Promise<Manifest> {
    this.#ask('manifest', reference.repository, referenceText(reference), pull)
    return { ...this.#manifest(reference), ...this.#outcome() }
  }

  async stat(repository: string, digest: Digest, pull?: Pull) {
    this.#ask('stat', repository, digest, pull)
    return { ...describe(digest, this.#blob(repository, digest)), ...this.#outcome() }
  }

  async blob(repository: string, digest: Digest, pull?: Pull & { range?: RangeSpec | undefined }): Promise<BlobRead> {
    this.#ask('blob', repository, digest, pull)
    const whole = this.#blob(repository, digest)
    const range = pull?.range && resolveRange(pull.range, whole.length)
    const bytes = range ? whole.subarray(range.start, range.end + 1) : whole
    const atHand = this.hasBytes && { bytes: whole }
    const part = range && { range }
    return { descriptor: describe(digest, whole), ...part, body: this.#body(bytes), ...atHand, ...this.#outcome() }
  }

  async tags(
    repository: string,
    { n = Number.POSITIVE_INFINITY, last = '' }: Page = {},
    pull?: Pull,
  ): Promise<TagPage> {
    this.#ask('tags', repository, `${n} ${last}`, pull)
    const tags = this.#tags.get(repository)?.filter((tag) => tag > last)
    if (!tags) throw nameUnknown(repository)
    return { tags: tags.slice(0, n), more: tags.length > n, ...this.#outcome() }
  }

  async referrers(repository: string, subject: Digest, pull?: Pull): Promise<ReferrerList> {
    this.#ask('referrers', repository, subject, pull)
    const referrers = this.#referrers.get(`${repository} ${subject}`)
    if (!referrers) throw manifestUnknown(repository, subject)
    return { referrers, ...this.#outcome() }
  }

  #ask(method: string, repository: string, reference: string, pull: Pull | undefined): void {
    if (this.upstream) pull?.admit?.()
    this.asked.push(`${method} ${repository} ${reference}`)
    if (this.failure) throw this.failure
  }

  #manifest(reference: Reference): Manifest {
    const text = referenceText(reference)
    const manifest = this.#manifests.get(`${reference.repository} ${text}`)
    if (!manifest) throw manifestUnknown(reference.repository, text)
    return manifest
  }

  #blob(repository: string, digest: Digest): Uint8Array {
    const bytes = this.#blobs.get(`${repository} ${digest}`)
    if (!bytes) throw blobUnknown(repository, digest)
    return bytes
  }

  #body(bytes: Uint8Array): Body {
    this.open++
    const { misbehaviour } = this
    return {
      sendTo: async (sink, signal) => {
        const send = (chunk: Uint8Array) => {
          signal?.throwIfAborted()
          return sink.write(chunk)
        }
        if (misbehaviour) await misbehaviour(send, bytes)
        else for (let at = 0; at < bytes.length; at += 65_536) await send(bytes.subarray(at, at + 65_536))
      },
      [Symbol.asyncDispose]: async () => {
        this.open--
      },
    }
  }

  #outcome() {
    return this.outcome === undefined ? {} : { outcome: this.outcome }
  }
}

const describe = (digest: Digest, bytes: Uint8Array) => ({
  mediaType: 'application/octet-stream',
  digest,
  size: bytes.length,
})
