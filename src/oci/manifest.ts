import { type Digest, isDigest } from './digest.ts'
import { corrupt } from './errors.ts'

/** https://github.com/opencontainers/image-spec/blob/v1.1.1/media-types.md and Docker's, which came before. */
export const mediaTypes = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociArtifact: 'application/vnd.oci.artifact.manifest.v1+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerSchema1: 'application/vnd.docker.distribution.manifest.v1+json',
  dockerSchema1Signed: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
} as const

/** What we ask upstreams for: everything, the type with most inside it first. */
export const manifestAccept = [
  mediaTypes.ociIndex,
  mediaTypes.ociManifest,
  mediaTypes.dockerList,
  mediaTypes.dockerManifest,
  mediaTypes.ociArtifact,
  mediaTypes.dockerSchema1Signed,
  mediaTypes.dockerSchema1,
  '*/*',
].join(', ')

/** The largest manifest that is read, in bytes. */
export const maxManifestSize = 8 * 1024 * 1024

const indexTypes: ReadonlySet<string> = new Set([mediaTypes.ociIndex, mediaTypes.dockerList])
const imageTypes: ReadonlySet<string> = new Set([mediaTypes.ociManifest, mediaTypes.dockerManifest])
const schema1Types: ReadonlySet<string> = new Set([mediaTypes.dockerSchema1, mediaTypes.dockerSchema1Signed])

/** Whether manifests of this type list other manifests. */
export const isIndex = (mediaType: string): boolean => indexTypes.has(mediaType)

/** Whether a Content-Type, without its parameters, says what kind of manifest this is. */
export const isManifestType = (mediaType: string): boolean => /^application\/vnd\.[\w.+-]{1,200}$/.test(mediaType)

/** The media type in a Content-Type header, lower case and without parameters; empty where there is none. */
export const bareType = (contentType: string | undefined): string =>
  (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''

/**
 * The media type a manifest is to be stored and served with. Manifests are passed on byte for byte, so that what
 * clients could understand in two ways is refused here: throws `corrupt` for what is not a JSON object, for one that
 * is index and image at once, and where header, `mediaType` and shape contradict each other.
 */
export function manifestMediaType(bytes: Uint8Array, contentType: string | undefined): string {
  const declared = bareType(contentType)
  if (declared === 'text/html') throw corrupt('a web page was sent where a manifest is expected')
  const manifest = parseObject(bytes)
  const shape = shapeOf(manifest)
  const own = typeof manifest.mediaType === 'string' ? bareType(manifest.mediaType) : ''
  if (isManifestType(declared) && isManifestType(own) && declared !== own) {
    throw corrupt('a manifest says another media type than its Content-Type')
  }
  const mediaType = [declared, own].find(isManifestType) ?? shape
  if (mediaType === undefined) throw corrupt('a document was sent that is no manifest')
  if (contradicts(mediaType, shape)) throw corrupt('a manifest is not what its media type says')
  return mediaType
}

/**
 * The digests that a manifest needs to be complete: of its config and layers, or of the manifests that it lists. Other
 * kinds of artifacts, and anything malformed, need nothing that we know of.
 */
export function needsOf(bytes: Uint8Array): Digest[] {
  const { config, layers, blobs, manifests } = parseObject(bytes)
  const descriptors = [config, layers, blobs, manifests].flat() as ({ digest?: unknown } | null | undefined)[]
  const digests = descriptors.map((descriptor) => descriptor?.digest).filter((digest) => typeof digest === 'string')
  return [...new Set(digests.filter(isDigest))]
}

type Document = Record<string, unknown>

function parseObject(bytes: Uint8Array): Document {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Document
  } catch (cause) {
    throw corrupt('a manifest is not valid JSON', { cause: new Error(cause instanceof Error ? cause.name : 'unknown') })
  }
  throw corrupt('a manifest is not a JSON object')
}

/** https://github.com/opencontainers/image-spec/security/advisories/GHSA-77vh-xpmg-72qh */
function shapeOf(manifest: Document): string | undefined {
  const has = (key: string) => Object.hasOwn(manifest, key)
  const index = has('manifests')
  const image = has('layers') || has('config')
  const schema1 = has('fsLayers') || has('history')
  if ([index, image, schema1].filter(Boolean).length > 1) throw corrupt('a manifest is of two kinds at once')
  if (index) return mediaTypes.ociIndex
  if (image) return mediaTypes.ociManifest
  if (schema1) return has('signatures') ? mediaTypes.dockerSchema1Signed : mediaTypes.dockerSchema1
  return undefined
}

function contradicts(mediaType: string, shape: string | undefined): boolean {
  if (indexTypes.has(mediaType)) return shape !== mediaTypes.ociIndex
  if (imageTypes.has(mediaType)) return shape !== mediaTypes.ociManifest
  if (schema1Types.has(mediaType)) return shape !== undefined && !schema1Types.has(shape)
  return false
}
