import { PrivateFile } from '../files/private-file.ts'
import { type AccessKey, AccessKeyError, asWritten, type WrittenKey } from './access-key.ts'
import type { PolicyReference } from './policy-reference.ts'

/** Raised with each change that an older version could not read. */
const formatVersion = 1

/** The file of the keys that were made here. It holds their secrets, and only its owner may read it. */
export class KeptKeys {
  readonly #file: PrivateFile

  constructor(path: string) {
    this.#file = new PrivateFile(path)
  }

  get path(): string {
    return this.#file.path
  }

  /**
   * Resolves to `undefined` where there is no file yet. Throws `AccessKeyError` for a file that is not whole: begun
   * afresh, it would give a new key for the old ones.
   */
  async read(): Promise<WrittenKey[] | undefined> {
    const text = (await this.#file.read())?.toString()
    if (text === undefined) return undefined
    const keys = keysIn(text)
    if (!keys) throw new AccessKeyError([`${this.path} is damaged, or of another version of Cistern`])
    return keys
  }

  /** One call at a time. Throws what the system throws, and leaves the file as it was. */
  async write(keys: Iterable<AccessKey>): Promise<void> {
    const written = Array.from(keys, asWritten)
    await this.#file.write(`${JSON.stringify({ version: formatVersion, keys: written }, null, 2)}\n`)
  }
}

function keysIn(text: string): WrittenKey[] | undefined {
  try {
    const { version, keys } = Object(JSON.parse(text)) as { version?: unknown; keys?: unknown }
    return version === formatVersion && Array.isArray(keys) && keys.every(isWrittenKey) ? keys : undefined
  } catch {
    return undefined // the parser's message quotes the text
  }
}

function isWrittenKey(value: unknown): value is WrittenKey {
  const { id, secret, user, policies, createdAt } = Object(value) as Record<string, unknown>
  return (
    [id, secret, user].every((text) => typeof text === 'string' && text !== '') &&
    typeof createdAt === 'number' &&
    Array.isArray(policies) &&
    policies.every(isPolicyReference)
  )
}

const isPolicyReference = (value: unknown): value is PolicyReference =>
  typeof value === 'string' || (typeof value === 'object' && value !== null && !Array.isArray(value))
