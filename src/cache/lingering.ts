import type { Digest } from '../oci/digest.ts'
import type { RangeSpec } from '../oci/range.ts'
import type { Reference } from '../oci/reference.ts'
import type { BlobRead, Body, Page, Pull, Registry } from '../oci/registry.ts'

/** A registry that its owner disposes, which breaks off what is asked of it. */
export type OwnedRegistry = Registry & AsyncDisposable

/** A registry that can be let go while it is in use: it is disposed once all that was asked of it came to an end. */
export class Lingering implements Registry, AsyncDisposable {
  readonly #registry: OwnedRegistry
  readonly #idle = Promise.withResolvers<void>()
  #uses = 0
  #isLetGo = false

  constructor(registry: OwnedRegistry) {
    this.#registry = registry
  }

  resolve(reference: Reference, pull?: Pull) {
    return this.#using(this.#registry.resolve(reference, pull))
  }

  manifest(reference: Reference, pull?: Pull) {
    return this.#using(this.#registry.manifest(reference, pull))
  }

  stat(repository: string, digest: Digest, pull?: Pull) {
    return this.#using(this.#registry.stat(repository, digest, pull))
  }

  async blob(repository: string, digest: Digest, pull?: Pull & { range?: RangeSpec | undefined }): Promise<BlobRead> {
    const leave = this.#enter()
    try {
      const read = await this.#registry.blob(repository, digest, pull)
      return { ...read, body: leaving(read.body, leave) }
    } catch (error) {
      leave()
      throw error
    }
  }

  tags(repository: string, page?: Page, pull?: Pull) {
    return this.#using(this.#registry.tags(repository, page, pull))
  }

  referrers(repository: string, subject: Digest, pull?: Pull) {
    return this.#using(this.#registry.referrers(repository, subject, pull))
  }

  /** Resolves once the registry is disposed, by whomever. */
  async letGo(): Promise<void> {
    this.#isLetGo = true
    if (this.#uses === 0) this.#idle.resolve()
    await this.#idle.promise
    await this[Symbol.asyncDispose]()
  }

  /** Breaks off what is under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#registry[Symbol.asyncDispose]()
  }

  async #using<T>(question: Promise<T>): Promise<T> {
    const leave = this.#enter()
    return await question.finally(leave)
  }

  #enter(): () => void {
    this.#uses++
    let inside = true
    return () => {
      if (!inside) return
      inside = false
      this.#uses--
      if (this.#isLetGo && this.#uses === 0) this.#idle.resolve()
    }
  }
}

/** The same body, with `leave` called at its end. */
const leaving = (body: Body, leave: () => void): Body => ({
  sendTo: (sink, signal) => body.sendTo(sink, signal).finally(leave),
  async [Symbol.asyncDispose]() {
    await body[Symbol.asyncDispose]()
    leave()
  },
})
