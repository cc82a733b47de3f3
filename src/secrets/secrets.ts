import { randomBytes, randomInt } from 'node:crypto'
import { join } from 'node:path'
import { PrivateFile } from '../files/private-file.ts'
import { seal, sealKeyBytes, unseal } from './seal.ts'
import { readSealKey } from './seal-key.ts'
import { SecretError } from './secret-error.ts'
import { type KeptSecret, readSecrets, writeSecrets } from './secrets-file.ts'

export type SecretsOptions = {
  dataDir: string
  registry: { readonly id: string; readonly region: string }
  /** Holds the key to use in place of one that is made here. */
  keyFile?: string
  /** Milliseconds since the epoch. */
  clock?: () => number
}

/** What may be told of a secret. Instants are milliseconds since the epoch. */
export type Secret = Omit<KeptSecret, 'sealed'>

/** What is to be kept as one version of a secret. */
export type SecretVersion = { versionId: string; value: string }

/**
 * Secrets that are kept here, for rules whose secrets are not in AWS. `secrets.json` in the data directory holds them
 * encrypted, each bound to its ARN and version, under the key that is given or, where none is, the one in `secret-key`,
 * which is made with the first secret.
 */
export class Secrets {
  readonly #file: PrivateFile
  readonly #keyFile: PrivateFile
  readonly #registry: SecretsOptions['registry']
  readonly #clock: () => number
  #kept: readonly KeptSecret[]
  #key: Uint8Array | undefined
  #lastChange: Promise<unknown> = Promise.resolve()

  private constructor(options: SecretsOptions, kept: readonly KeptSecret[], key: Uint8Array | undefined) {
    const { dataDir, registry, clock = Date.now } = options
    this.#file = secretsFile(dataDir)
    this.#keyFile = keyFile(dataDir)
    this.#registry = registry
    this.#clock = clock
    this.#kept = kept
    this.#key = key
  }

  /**
   * Throws for a file that is damaged, for a key of another length or one that opens none of the secrets, and what the
   * system throws.
   */
  static async open(options: SecretsOptions): Promise<Secrets> {
    const { dataDir, keyFile: given } = options
    const kept = await readSecrets(secretsFile(dataDir))
    const key = given === undefined ? await keyFile(dataDir).read() : await readSealKey(given)
    if (key && key.length !== sealKeyBytes) throw new Error('secret-key does not hold 32 bytes')
    if (!key && kept.length > 0) throw new Error('secret-key is missing, and there are secrets that need it')
    if (key && kept.length > 0 && !kept.some((secret) => opens(key, secret))) {
      throw new Error(`${given ?? 'secret-key'} is not the key that the secrets in ${dataDir} were encrypted with`)
    }
    return new Secrets(options, kept, key)
  }

  /** By an ARN, whole or without its random end, or by a name. */
  find(id: string): Secret | undefined {
    const kept = this.#find(id)
    return kept && told(kept)
  }

  /** In the order of names. */
  list(): Secret[] {
    return this.#kept.map(told).sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** `undefined` where there is none. Throws `SecretError`: `undecryptable`. */
  valueOf(id: string): string | undefined {
    const kept = this.#find(id)
    if (!kept) return undefined
    const value = this.#key && unseal(this.#key, contextOf(kept), kept.sealed)
    if (value === undefined) throw new SecretError('undecryptable')
    return value
  }

  /** Throws `SecretError`: `limit`; `exists`, unless the same version with the same value is there, as after a retry. */
  create(name: string, version: SecretVersion, description?: string): Promise<Secret> {
    return this.#change(async (kept) => {
      const known = this.#find(name)
      if (known) {
        if (known.versionId !== version.versionId || this.valueOf(name) !== version.value)
          throw new SecretError('exists')
        return { kept, secret: known }
      }
      if (kept.length >= maxSecrets) throw new SecretError('limit')
      const at = this.#clock()
      const { id, region } = this.#registry
      const suffix = Array.from({ length: 6 }, () => letters[randomInt(letters.length)]).join('')
      const arn = `arn:aws:secretsmanager:${region}:${id}:secret:${name}-${suffix}`
      const facts = { arn, name, versionId: version.versionId, createdAt: at, changedAt: at }
      const secret = await this.#sealed({ ...facts, ...(description !== undefined && { description }) }, version.value)
      return { kept: [...kept, secret], secret }
    })
  }

  /** Throws `SecretError`: `missing`, or `exists` where the version is there with another value. */
  update(id: string, { version, description }: { version?: SecretVersion; description?: string }): Promise<Secret> {
    return this.#change(async (kept) => {
      const known = this.#find(id)
      if (!known) throw new SecretError('missing')
      let secret = { ...known, ...(description !== undefined && { description }) }
      if (version && version.versionId === known.versionId) {
        if (this.valueOf(id) !== version.value) throw new SecretError('exists')
      } else if (version) {
        const { sealed: _, ...facts } = secret
        secret = await this.#sealed({ ...facts, versionId: version.versionId, changedAt: this.#clock() }, version.value)
      }
      return { kept: kept.map((other) => (other === known ? secret : other)), secret }
    })
  }

  /** For good. Throws `SecretError`: `missing`. */
  delete(id: string): Promise<Secret> {
    return this.#change(async (kept) => {
      const secret = this.#find(id)
      if (!secret) throw new SecretError('missing')
      return { kept: kept.filter((other) => other !== secret), secret }
    })
  }

  #find(id: string): KeptSecret | undefined {
    return this.#kept.find(({ arn, name }) => id === name || id === arn || id === arn.slice(0, -suffixLength))
  }

  async #sealed(secret: Secret, value: string): Promise<KeptSecret> {
    return { ...secret, sealed: seal(await this.#ownKey(), contextOf(secret), value) }
  }

  async #ownKey(): Promise<Uint8Array> {
    if (!this.#key) {
      const key = randomBytes(sealKeyBytes)
      await this.#keyFile.write(key)
      this.#key = key
    }
    return this.#key
  }

  /** One at a time; what cannot be written does not happen. */
  #change(
    plan: (kept: readonly KeptSecret[]) => Promise<{ kept: readonly KeptSecret[]; secret: KeptSecret }>,
  ): Promise<Secret> {
    const work = async () => {
      const { kept, secret } = await plan(this.#kept)
      await writeSecrets(this.#file, kept)
      this.#kept = kept
      return told(secret)
    }
    const turn = this.#lastChange.then(work, work)
    this.#lastChange = turn
    return turn
  }
}

/** Each change writes all of them. */
const maxSecrets = 500

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'
/** Of a hyphen and six characters. */
const suffixLength = 7

const secretsFile = (dataDir: string) => new PrivateFile(join(dataDir, 'secrets.json'), { keepsPrevious: true })
const keyFile = (dataDir: string) => new PrivateFile(join(dataDir, 'secret-key'))

const contextOf = ({ arn, versionId }: Secret): string => `${arn}\n${versionId}`

const opens = (key: Uint8Array, secret: KeptSecret): boolean =>
  unseal(key, contextOf(secret), secret.sealed) !== undefined

const told = ({ sealed: _, ...secret }: KeptSecret): Secret => secret
