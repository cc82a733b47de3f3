import { type Digest, isDigest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { type ImageName, isTag, parseImageName } from '../oci/reference.ts'
import { containerdName, refName } from './layout.ts'
import { invalid, record } from './request.ts'

/** An image that the index of a layout lists. */
export type Listing = {
  digest: Digest
  mediaType: string
  /** In bytes; absent where the index does not say. */
  size?: number
  /** What it is called there, for people. */
  label: string
} & ({ name: ImageName } | { unnamed: string })

/**
 * The images of a layout, each with the name that it has in full there: most tools give it a tag alone, or nothing, and
 * then `repository` is where it belongs. `meant`: the name that somebody means who writes it so. What cannot be named
 * says why not. Throws `invalid` for what is no index.
 */
export function listingsIn(
  bytes: Uint8Array,
  repository: string | undefined,
  meant: (name: string) => string,
): Listing[] {
  const { manifests } = record(parse(bytes))
  if (!Array.isArray(manifests)) throw invalid('its index.json lists no images')
  return manifests.map((entry) => listing(record(entry), repository, meant))
}

function listing(
  { digest, mediaType, size, annotations }: Record<string, unknown>,
  repository: string | undefined,
  meant: (name: string) => string,
): Listing {
  if (typeof digest !== 'string' || !isDigest(digest)) throw invalid('its index.json lists an image without a digest')
  const given = Object(annotations) as Record<string, unknown>
  const [ref, whole] = [given[refName], given[containerdName]].map((text) =>
    typeof text === 'string' ? meant(text) : '',
  )
  return {
    digest,
    mediaType: typeof mediaType === 'string' ? mediaType : '',
    ...(Number.isSafeInteger(size) && { size: size as number }),
    label: ref || whole || digest,
    ...named(ref ?? '', whole ?? '', digest, repository),
  }
}

function named(ref: string, whole: string, digest: Digest, repository: string | undefined) {
  const full = [ref, whole].find((text) => /[/:@]/.test(text))
  if (full !== undefined) return fullName(full)
  if (repository === undefined) {
    return { unnamed: `it has ${ref ? 'only a tag' : 'no name'} there: --name REPOSITORY says where it belongs` }
  }
  if (ref !== '' && !isTag(ref)) return { unnamed: `${JSON.stringify(ref)} is no tag` }
  return { name: ref === '' ? { name: repository, digest } : { name: repository, tag: ref } }
}

function fullName(text: string) {
  try {
    return { name: parseImageName(text) }
  } catch (error) {
    return { unnamed: error instanceof RegistryError ? error.message : 'it has no name that can be read' }
  }
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString())
  } catch {
    throw invalid('its index.json is not JSON')
  }
}
