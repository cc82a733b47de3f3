import { LRUCache } from 'lru-cache'
import type { Digest } from '../oci/digest.ts'
import { type Kind, RegistryError } from '../oci/errors.ts'
import type { RangeSpec } from '../oci/range.ts'
import { type Reference, referenceText } from '../oci/reference.ts'
import type { Page, Pull, Registry } from '../oci/registry.ts'
import type { Rule } from '../rules/rule.ts'

/** What came of a question to an upstream; also of one that was held back, for its limits or its failures. */
export type LastAnswer = {
  /** In milliseconds since the epoch. */
  at: number
  kind: 'ok' | Kind
  /** Where it was a failure. */
  message?: string
  /** Where it says what a tag points to. */
  digest?: Digest
}

const maxRemembered = 10_000
const maxMessage = 256

/**
 * What upstreams last said of manifests, and of which blobs they last said no, in the memory of this process. What they
 * sent otherwise is never kept.
 */
export class LastAnswers {
  readonly #clock: () => number
  readonly #answers = new LRUCache<string, LastAnswer>({ max: maxRemembered })

  constructor(clock: () => number) {
    this.#clock = clock
  }

  /** `repository` is upstream's name. */
  of(rule: Rule, repository: string, reference: string): LastAnswer | undefined {
    return this.#answers.get(keyOf(rule, repository, reference))
  }

  /** The same registry, listened to. */
  hear(rule: Rule, registry: Registry & AsyncDisposable): Registry & AsyncDisposable {
    const manifest = async <T extends { descriptor: { digest: Digest } }>(reference: Reference, asked: Promise<T>) => {
      const key = keyOf(rule, reference.repository, referenceText(reference))
      const answer = await this.#failing(key, asked)
      this.#answers.set(key, { at: this.#clock(), kind: 'ok', digest: answer.descriptor.digest })
      return answer
    }
    const blob = async <T>(repository: string, digest: Digest, asked: Promise<T>) => {
      const key = keyOf(rule, repository, digest)
      const answer = await this.#failing(key, asked)
      if (this.#answers.get(key)?.kind !== 'ok') this.#answers.delete(key)
      return answer
    }
    return {
      resolve: (reference: Reference, pull?: Pull) => manifest(reference, registry.resolve(reference, pull)),
      manifest: (reference: Reference, pull?: Pull) => manifest(reference, registry.manifest(reference, pull)),
      stat: (repository: string, digest: Digest, pull?: Pull) =>
        blob(repository, digest, registry.stat(repository, digest, pull)),
      blob: (repository: string, digest: Digest, pull?: Pull & { range?: RangeSpec | undefined }) =>
        blob(repository, digest, registry.blob(repository, digest, pull)),
      tags: (repository: string, page?: Page, pull?: Pull) => registry.tags(repository, page, pull),
      referrers: (repository: string, subject: Digest, pull?: Pull) => registry.referrers(repository, subject, pull),
      [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose](),
    }
  }

  /** Remembers a failure. That whoever asked has left is no answer. */
  async #failing<T>(key: string, asked: Promise<T>): Promise<T> {
    try {
      return await asked
    } catch (error) {
      if (error instanceof RegistryError) {
        const { kind, message } = error
        this.#answers.set(key, { at: this.#clock(), kind, message: message.slice(0, maxMessage) })
      }
      throw error
    }
  }
}

/** Two rules may lead to one upstream, each with a credential of its own. */
const keyOf = ({ prefix, upstream }: Rule, repository: string, reference: string): string =>
  `${prefix} ${upstream} ${repository} ${reference}`
