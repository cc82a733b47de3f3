import { LRUCache } from 'lru-cache'
import { isKind, type RegistryError } from '../oci/errors.ts'

const maxEntries = 50_000

/** What upstream lately said does not exist. Bounded in number and, by each rule, in time. */
export class Negatives {
  readonly #errors = new LRUCache<string, RegistryError>({ max: maxEntries })
  readonly #ttlMs: number

  constructor(ttlMs: number) {
    this.#ttlMs = ttlMs
  }

  /** Throws what upstream said, while it counts. */
  check(key: string): void {
    const error = this.#errors.get(key)
    if (error) throw error
  }

  /** What upstream said, and for how many milliseconds it counts. */
  peek(key: string): { error: RegistryError; forMs: number } | undefined {
    const error = this.#errors.get(key)
    return error && { error, forMs: this.#errors.getRemainingTTL(key) }
  }

  /** It is there after all. */
  end(key: string): void {
    this.#errors.delete(key)
  }

  /** Remembers an `unknown`; other errors are not answers about existence. */
  note(key: string, error: unknown): void {
    if (this.#ttlMs > 0 && isKind(error, 'unknown')) this.#errors.set(key, error, { ttl: this.#ttlMs })
  }
}
