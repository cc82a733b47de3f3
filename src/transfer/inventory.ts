import { type Digest, isDigest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'

/** What a bundle holds, as it stands in it. Says nothing of when and where it was made: the same makes the same. */
export type Inventory = {
  version: 1
  images: InventoryImage[]
  /** What is in the bundle, with sizes in bytes. */
  blobs: Record<Digest, number>
  /** What its images need besides that: it was left out, for who gets the bundle has it. */
  base: Record<Digest, number>
}

export type InventoryImage = {
  /** `repository:tag`, or `repository@digest`. */
  reference: string
  digest: Digest
  mediaType: string
  /** In bytes, of all that there is of it, whatever it shares with others. */
  size: number
  /** Of an index, those that there are. */
  platforms?: string[]
  /** What of it there is not, although nobody left it out by platform. */
  incomplete?: true
  /** The manifests that are about it. */
  referrers?: Digest[]
}

/** The longest that is read, in bytes. */
export const maxInventory = 64 * 1024 * 1024

export const printedInventory = (inventory: Inventory): string => `${JSON.stringify(inventory, null, 1)}\n`

/** All that whoever has the bundle of an inventory has, if they had its base. Throws `invalid`. */
export function digestsIn(text: string): Set<Digest> {
  const { version, blobs, base } = record(parse(text))
  if (version !== 1) throw malformed('its version is not 1')
  const digests = new Set<Digest>()
  for (const digest of [...Object.keys(record(blobs)), ...Object.keys(record(base))]) {
    if (!isDigest(digest)) throw malformed('it names a blob by something that is no digest')
    digests.add(digest)
  }
  return digests
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw malformed('it is not JSON')
  }
}

function record(value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw malformed('it lacks a part')
}

const malformed = (why: string) =>
  new RegistryError('invalid', 'UNSUPPORTED', `this is no inventory of a bundle: ${why}`)
