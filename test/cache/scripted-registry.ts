import { algorithmOf, type Digest, digestOf } from '../../src/oci/digest.ts'
import { blobUnknown, manifestUnknown, type RegistryError } from '../../src/oci/errors.ts'
import { resolveRange } from '../../src/oci/range.ts'
import { type Reference, referenceText } from '../../src/oci/reference.ts'
import type { BlobRead, Manifest, Pull, Referrer, Registry, Sink } from '../../src/oci/registry.ts'

type Call = { method: keyof Registry; repository: string; reference: string; start?: number }

/** Sends bytes to a sink as a script says. */
export type Sending = (bytes: Uint8Array, sink: Sink, signal: AbortSignal) => Promise<void>

const inPieces: Sending = async (bytes, sink, signal) => {
  for (let at = 0; at < bytes.length; at += 64 * 1024) {
    signal.throwIfAborted()
    await sink.write(bytes.subarray(at, at + 64 * 1024))
  }
}

/** An upstream in memory that notes each question and does what the test says. */
export class ScriptedRegistry implements Registry {
  readonly calls: Call[] = []
  readonly #blobs = new Map<string, Uint8Array>()
  readonly #manifests = new Map<string, Manifest>()
  readonly #tags = new Map<string, Digest>()
  readonly referrersOf = new Map<string, Referrer[]>()
  /** Thrown by every method while it is set. */
  failure: RegistryError | undefined
  /** Thrown by the named method while it is set. */
  readonly failures = new Map<keyof Registry, RegistryError>()
  /** How blob bodies are sent. */
  sending: Sending = inPieces
  /** Awaited before any answer. */
  gate: Promise<void> = Promise.resolve()

  addBlob(repository: string, bytes: Uint8Array, algorithm: 'sha256' | 'sha512' = 'sha256'): Digest {
    const digest = digestOf(bytes, algorithm)
    this.#blobs.set(`${repository}@${digest}`, bytes)
    return digest
  }

  addManifest(repository: string, content: object, ...tags: string[]): Manifest {
    const bytes = Buffer.from(JSON.stringify(content))
    const digest = digestOf(bytes)
    const mediaType = 'application/vnd.oci.image.manifest.v1+json'
    const manifest = { descriptor: { mediaType, digest, size: bytes.length }, bytes }
    this.#manifests.set(`${repository}@${digest}`, manifest)
    for (const tag of tags) this.#tags.set(`${repository}:${tag}`, digest)
    return manifest
  }

  removeBlob(repository: string, digest: Digest): void {
    this.#blobs.delete(`${repository}@${digest}`)
  }

  removeTag(repository: string, tag: string): void {
    this.#tags.delete(`${repository}:${tag}`)
  }

  removeManifest(repository: string, digest: Digest): void {
    this.#manifests.delete(`${repository}@${digest}`)
  }

  count(method: keyof Registry): number {
    return this.calls.filter((call) => call.method === method).length
  }

  async resolve(reference: Reference, pull?: Pull) {
    await this.#asked(
      { method: 'resolve', repository: reference.repository, reference: referenceText(reference) },
      pull,
    )
    return { descriptor: this.#find(reference).descriptor }
  }

  async manifest(reference: Reference, pull?: Pull) {
    const call = { repository: reference.repository, reference: referenceText(reference) }
    await this.#asked({ method: 'manifest', ...call }, pull)
    return this.#find(reference)
  }

  async stat(repository: string, digest: Digest, pull?: Pull) {
    await this.#asked({ method: 'stat', repository, reference: digest }, pull)
    const size = this.#bytes(repository, digest).length
    return { mediaType: 'application/octet-stream', digest, size }
  }

  async blob(...[repository, digest, pull]: Parameters<Registry['blob']>): Promise<BlobRead> {
    const range = pull?.range
    const start = range && 'start' in range ? range.start : 0
    await this.#asked({ method: 'blob', repository, reference: digest, start }, pull)
    const bytes = this.#bytes(repository, digest)
    const resolved = range ? resolveRange(range, bytes.length) : { start: 0, end: bytes.length - 1 }
    const { sending } = this
    return {
      descriptor: { mediaType: 'application/octet-stream', digest, size: bytes.length },
      range: resolved,
      body: {
        sendTo: (sink, signal = new AbortController().signal) =>
          sending(bytes.subarray(resolved.start, resolved.end + 1), sink, signal),
        [Symbol.asyncDispose]: async () => {},
      },
    }
  }

  async tags(repository: string, _page?: object, pull?: Pull) {
    await this.#asked({ method: 'tags', repository, reference: '' }, pull)
    const prefix = `${repository}:`
    const tags = [...this.#tags.keys()].filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length))
    return { tags: tags.sort(), more: false }
  }

  async referrers(repository: string, subject: Digest, pull?: Pull) {
    await this.#asked({ method: 'referrers', repository, reference: subject }, pull)
    const referrers = this.referrersOf.get(`${repository}@${subject}`)
    if (!referrers) throw manifestUnknown(repository, subject)
    return { referrers }
  }

  async #asked(call: Call, pull: Pull | undefined): Promise<void> {
    this.calls.push(call)
    await this.gate
    pull?.signal?.throwIfAborted()
    const failure = this.failure ?? this.failures.get(call.method)
    if (failure) throw failure
  }

  #find(reference: Reference): Manifest {
    const { repository } = reference
    const digest = 'digest' in reference ? reference.digest : this.#tags.get(`${repository}:${reference.tag}`)
    const manifest = digest && this.#manifests.get(`${repository}@${digest}`)
    if (!manifest) throw manifestUnknown(repository, referenceText(reference))
    return manifest
  }

  #bytes(repository: string, digest: Digest): Uint8Array {
    const bytes = this.#blobs.get(`${repository}@${digest}`)
    if (!bytes || algorithmOf(digest) === undefined) throw blobUnknown(repository, digest)
    return bytes
  }
}
