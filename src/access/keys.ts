import { join } from 'node:path'
import {
  type AccessKey,
  AccessKeyError,
  asWritten,
  type ConfiguredKey,
  type KeysById,
  newIdAndSecret,
  readKey,
  readKeys,
} from './access-key.ts'
import { KeptKeys } from './kept-keys.ts'
import { nameOfPolicy, type PolicyReference } from './policy-reference.ts'

export type KeyRingOptions = {
  configured: readonly ConfiguredKey[]
  dataDir: string
  /** Milliseconds since the epoch. */
  clock?: () => number
  /** Called after each change of who is let in. */
  changed?: () => void
  /** Whether a first key is made where there has never been one. */
  makesFirst?: boolean
}

/** What may be told of a key. */
export type KeySummary = {
  id: string
  user: string
  policies: string[]
  source: 'configuration' | 'file'
  /** In milliseconds since the epoch; absent for keys of the configuration. */
  createdAt?: number
}

/** A new key, as it is told once. */
export type RevealedKey = KeySummary & { secret: string }

/**
 * The access keys in force: those of the configuration, and those made since, which `access-keys.json` in the data
 * directory keeps. An id that both have is the configuration's. Where there has never been a key, a first one is made.
 */
export class KeyRing {
  /** The file that the first key stands in, if this start made it. */
  readonly firstKeyFile: string | undefined
  readonly #file: KeptKeys
  readonly #clock: () => number
  readonly #changed: () => void
  readonly #kept: KeysById
  #configured: KeysById
  #lastWrite: Promise<void> = Promise.resolve()

  private constructor(state: {
    file: KeptKeys
    clock: () => number
    changed: () => void
    kept: KeysById
    configured: KeysById
    isFirst: boolean
  }) {
    this.#file = state.file
    this.#clock = state.clock
    this.#changed = state.changed
    this.#kept = state.kept
    this.#configured = state.configured
    this.firstKeyFile = state.isFirst ? state.file.path : undefined
  }

  /** Throws `AccessKeyError`, and what the system throws. */
  static async open({
    configured,
    dataDir,
    clock = Date.now,
    changed = () => {},
    makesFirst = true,
  }: KeyRingOptions): Promise<KeyRing> {
    const file = new KeptKeys(join(dataDir, 'access-keys.json'))
    const written = await file.read()
    const isFirst = makesFirst && written === undefined && configured.length === 0
    const kept = await readKeys(written ?? [])
    const ring = new KeyRing({ file, clock, changed, kept, configured: await readKeys(configured), isFirst })
    if (isFirst) await ring.create({ user: 'admin', policies: ['AdministratorAccess'] })
    return ring
  }

  /** `undefined` from the moment that the key is revoked. */
  get(id: string): AccessKey | undefined {
    return this.#configured.get(id) ?? this.#kept.get(id)
  }

  list(): KeySummary[] {
    const kept = [...this.#kept.values()].filter(({ id }) => !this.#configured.has(id))
    return [
      ...Array.from(this.#configured.values(), (key) => summaryOf(key, 'configuration')),
      ...kept.map((key) => summaryOf(key, 'file')),
    ]
  }

  /** Resolves to the new key once it is on disk. Throws `AccessKeyError`, and what the system throws. */
  async create({ user, policies }: { user: string; policies: readonly PolicyReference[] }): Promise<AccessKey> {
    const key = await readKey({ ...newIdAndSecret(), user, policies, createdAt: this.#clock() })
    await this.#inTurn(async () => {
      await this.#file.write([...this.#kept.values(), key])
      this.#kept.set(key.id, key)
    })
    return key
  }

  /**
   * From now on the key is refused. Resolves, once that is on disk, to whether there was such a key. Throws
   * `AccessKeyError` for a key of the configuration, and what the system throws: then a later start has the key again.
   */
  async revoke(id: string): Promise<boolean> {
    if (this.#configured.has(id)) throw new AccessKeyError([`access key ${id} is one of the configuration`])
    if (!this.#kept.delete(id)) return false
    this.#changed()
    await this.#inTurn(() => this.#file.write(this.#kept.values()))
    return true
  }

  /** Reads all secrets and policies again: all or nothing. Throws `AccessKeyError`, and what the system throws. */
  async reload(configured: readonly ConfiguredKey[]): Promise<void> {
    const [next, kept] = await Promise.all([readKeys(configured), readKeys(Array.from(this.#kept.values(), asWritten))])
    this.#configured = next
    for (const [id, key] of kept) if (this.#kept.has(id)) this.#kept.set(id, key)
    this.#changed()
  }

  /** One write at a time, each of the keys that there are by then. */
  async #inTurn(write: () => Promise<void>): Promise<void> {
    this.#lastWrite = this.#lastWrite.then(write, write)
    await this.#lastWrite
  }
}

export const revealed = (key: AccessKey): RevealedKey => ({ ...summaryOf(key, 'file'), secret: key.secret })

function summaryOf({ id, user, references, createdAt }: AccessKey, source: KeySummary['source']): KeySummary {
  const policies = references.map(nameOfPolicy)
  return { id, user, policies, source, ...(createdAt !== undefined && { createdAt }) }
}
