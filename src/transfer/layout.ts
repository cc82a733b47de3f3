import { algorithmOf, type Digest, hexOf, isDigest } from '../oci/digest.ts'

/**
 * A bundle is a tar of an OCI image layout, and of one file more that says what is in it.
 *
 * https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md
 */
export const files = { layout: 'oci-layout', index: 'index.json', inventory: 'inventory.json' } as const

export const layoutVersion = '1.0.0'

/** The annotation that names an image of a layout. Bundles hold many: each has its whole name there. */
export const refName = 'org.opencontainers.image.ref.name'

/** Where containerd and Docker look for the whole name. */
export const containerdName = 'io.containerd.image.name'

export const blobPath = (digest: Digest): string => `blobs/${algorithmOf(digest)}/${hexOf(digest)}`

/** The digest of the blob that should be at a path; `undefined` where none can be. */
export function digestAt(path: string): Digest | undefined {
  const [, algorithm = '', hex = ''] = /^blobs\/([^/]+)\/([^/]+)$/.exec(path) ?? []
  const digest = `${algorithm}:${hex}`
  return isDigest(digest) ? digest : undefined
}
