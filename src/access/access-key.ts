import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { PolicyDocument } from './policy-document.ts'
import { PolicyError } from './policy-error.ts'
import { loadPolicies, type PolicyReference } from './policy-reference.ts'
import { isUserName } from './principal.ts'

/** What signs requests and logs in on behalf of a user. */
export type AccessKey = {
  readonly id: string
  readonly secret: string
  readonly user: string
  /** Read. */
  readonly policies: readonly PolicyDocument[]
  /** As they were written. */
  readonly references: readonly PolicyReference[]
  /** In milliseconds since the epoch; absent for keys of the configuration. */
  readonly createdAt?: number
}

/** A key as it is written, with its policies not yet read. */
export type WrittenKey = Omit<AccessKey, 'policies' | 'references'> & { readonly policies: readonly PolicyReference[] }

/** As the configuration has it. */
export type ConfiguredKey = Omit<WrittenKey, 'secret' | 'createdAt'> & { readonly secretFile: string }

/** All that is wrong with access keys; no fault quotes a secret. */
export class AccessKeyError extends Error {
  override readonly name = 'AccessKeyError'
  readonly faults: readonly string[]

  constructor(faults: readonly string[], options?: ErrorOptions) {
    super(faults.join('\n'), options)
    this.faults = faults
  }
}

export type KeysById = Map<string, AccessKey>

/** Reads the policies of `keys`, and their secrets where they are in files. Throws one `AccessKeyError` for them all. */
export async function readKeys(keys: readonly (WrittenKey | ConfiguredKey)[]): Promise<KeysById> {
  const byId: KeysById = new Map()
  const faults: string[] = []
  for (const key of keys) {
    if (byId.has(key.id)) faults.push(`access key ${key.id} is there twice`)
    try {
      byId.set(key.id, await readKey(key))
    } catch (error) {
      if (!(error instanceof AccessKeyError)) throw error
      faults.push(...error.faults)
    }
  }
  if (faults.length > 0) throw new AccessKeyError(faults)
  return byId
}

/** Throws `AccessKeyError`. */
export async function readKey(key: WrittenKey | ConfiguredKey): Promise<AccessKey> {
  const { policies: references, ...written } = key
  try {
    if (!isUserName(key.user)) throw new AccessKeyError(['the user is not 1 to 64 letters, digits and _+=,.@-'])
    const policies = await loadPolicies(references)
    if ('secret' in written) return { ...written, references, policies }
    const { secretFile, ...rest } = written
    return { ...rest, secret: await readSecret(secretFile), references, policies }
  } catch (error) {
    if (!(error instanceof PolicyError || error instanceof AccessKeyError)) throw error
    throw new AccessKeyError([`access key ${key.id}: ${error.message}`], { cause: error })
  }
}

export const asWritten = ({ policies: _, references, ...key }: AccessKey): WrittenKey => ({
  ...key,
  policies: references,
})

/** A short one could be found from a single signature that somebody saw. */
const secretGrammar = /^[\x21-\x7e]{16,}$/

async function readSecret(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new AccessKeyError([`${file} cannot be read (${cause.code})`], { cause })
  })
  const secret = text.replace(/\r?\n$/, '')
  if (secretGrammar.test(secret)) return secret
  throw new AccessKeyError([`${file} does not hold 16 or more printable characters without blanks`])
}

/** An id and a secret of the forms that AWS gives them. */
export function newIdAndSecret(): { id: string; secret: string } {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
  const id = Array.from(randomBytes(16), (byte) => letters[byte % letters.length]).join('')
  return { id: `AKIA${id}`, secret: randomBytes(30).toString('base64') }
}
