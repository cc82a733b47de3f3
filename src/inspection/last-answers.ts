import { LRUCache } from 'lru-cache'
import type { Digest } from '../oci/digest.ts'
import { type Kind, RegistryError } from '../oci/errors.ts'
import type { RangeSpec } from '../oci/range.ts'
import { type Reference, referenceText } from '../oci/reference.ts'
import type { Page, Pull, Registry } from '../oci/registry.ts'
import type { Rule } from '../rules/rule.ts'

/** What came of a question to an upstream. */
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

/** What upstreams last said of manifests and blobs, in the memory of this process. */
export class LastAnswers {
  readonly #clock: () => number
  readonly #answers = new LRUCache<string, LastAnswer>({ max: maxRemembered })

  constructor(clock: () => number) {
    this.#clock = clock
  }

  /** `repository` is upstream's name. */
  of({ upstream }: Pick<Rule, 'upstream'>, repository: string, reference: string): LastAnswer | undefined {
    return this.#answers.get(keyOf(upstream, repository, reference))
  }

  /** The same registry, listened to. */
  hear({ upstream }: Pick<Rule, 'upstream'>, registry: Registry & AsyncDisposable): Registry & AsyncDisposable {
    const note = async <T>(
      repository: string,
      reference: string,
      asked: Promise<T>,
      digestOf?: (answer: T) => Digest,
    ) => {
      const key = keyOf(upstream, repository, reference)
      try {
        const answer = await asked
        this.#answers.set(key, { at: this.#clock(), kind: 'ok', ...(digestOf && { digest: digestOf(answer) }) })
        return answer
      } catch (error) {
        const { kind, message } = error instanceof RegistryError ? error : { kind: 'internal' as const, message: '' }
        this.#answers.set(key, { at: this.#clock(), kind, message })
        throw error
      }
    }
    const digest = (answer: { descriptor: { digest: Digest } }) => answer.descriptor.digest
    return {
      resolve: (reference: Reference, pull?: Pull) =>
        note(reference.repository, referenceText(reference), registry.resolve(reference, pull), digest),
      manifest: (reference: Reference, pull?: Pull) =>
        note(reference.repository, referenceText(reference), registry.manifest(reference, pull), digest),
      stat: (repository: string, digest: Digest, pull?: Pull) =>
        note(repository, digest, registry.stat(repository, digest, pull)),
      blob: (repository: string, digest: Digest, pull?: Pull & { range?: RangeSpec | undefined }) =>
        note(repository, digest, registry.blob(repository, digest, pull)),
      tags: (repository: string, page?: Page, pull?: Pull) => registry.tags(repository, page, pull),
      referrers: (repository: string, subject: Digest, pull?: Pull) => registry.referrers(repository, subject, pull),
      [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose](),
    }
  }
}

const keyOf = (upstream: string, repository: string, reference: string): string =>
  `${upstream} ${repository} ${reference}`
