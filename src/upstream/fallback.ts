import type { Digest } from '../oci/digest.ts'
import { isKind, type RegistryError } from '../oci/errors.ts'
import type { RangeSpec } from '../oci/range.ts'
import type { Reference } from '../oci/reference.ts'
import type { Page, Pull, Registry } from '../oci/registry.ts'
import { publish } from '../telemetry/events.ts'

/** One of the upstreams to try. */
export type Way = {
  registry: Registry & AsyncDisposable
  /** As it stands in events. */
  host: string
  /** Whether it is the upstream that the others stand in for: it knows best what there is. */
  canonical: boolean
}

/**
 * Several upstreams in the place of one, tried in order. The next one is asked where one cannot answer, allows no more
 * or answers nonsense, and on wish where it has not got something or denies it. Content is verified by whoever fetches
 * it; where tags point, the first that answers says. Owns them all.
 */
export class Fallback implements Registry, AsyncDisposable {
  readonly #ways: readonly Way[]
  readonly #onUnknown: boolean

  constructor(ways: readonly Way[], { onUnknown }: { onUnknown: boolean }) {
    this.#ways = ways
    this.#onUnknown = onUnknown
  }

  resolve(reference: Reference, pull?: Pull) {
    return this.#ask((registry) => registry.resolve(reference, pull), pull)
  }

  manifest(reference: Reference, pull?: Pull) {
    return this.#ask((registry) => registry.manifest(reference, pull), pull)
  }

  stat(repository: string, digest: Digest, pull?: Pull) {
    return this.#ask((registry) => registry.stat(repository, digest, pull), pull)
  }

  blob(repository: string, digest: Digest, pull?: Pull & { range?: RangeSpec }) {
    return this.#ask((registry) => registry.blob(repository, digest, pull), pull)
  }

  tags(repository: string, page?: Page, pull?: Pull) {
    return this.#ask((registry) => registry.tags(repository, page, pull), pull)
  }

  referrers(repository: string, subject: Digest, pull?: Pull) {
    return this.#ask((registry) => registry.referrers(repository, subject, pull), pull)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { registry } of this.#ways) await registry[Symbol.asyncDispose]()
  }

  /** Where all fail, what the canonical one said counts: that a mirror lacks something says nothing about it. */
  async #ask<T>(question: (registry: Registry) => Promise<T>, pull: Pull | undefined): Promise<T> {
    let verdict: { error: unknown; canonical: boolean } | undefined
    for (const { registry, host, canonical } of this.#ways) {
      try {
        return await question(registry)
      } catch (error) {
        const absent = isKind(error, 'unknown', 'denied')
        if (!absent && !isKind(error, 'unavailable', 'throttled', 'corrupt')) throw error
        if (!verdict?.canonical) verdict = { error, canonical }
        if (absent && !this.#onUnknown) break
        if (isKind(error, 'unavailable', 'corrupt')) tell(error, host, pull?.requestId)
      }
    }
    throw verdict?.error
  }
}

const tell = (error: RegistryError, upstream: string, requestId: string | undefined) =>
  publish('cistern:fault', {
    where: 'upstream',
    kind: error.kind,
    message: 'one of several upstreams failed',
    upstream,
    requestId,
    error,
  })
