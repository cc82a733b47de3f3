import { createHash } from 'node:crypto'
import type { Image, Index, StoredManifest } from './faulty-upstream.ts'
import { type TarEntry, tarOf } from './tar.ts'

/** A manifest as the index of a layout lists it. */
export type LayoutImage = { image: Image | Index; annotations?: Record<string, string> | undefined }

export const named = (image: Image | Index, name?: string): LayoutImage => ({
  image,
  ...(name !== undefined && { annotations: { 'org.opencontainers.image.ref.name': name } }),
})

export const blobEntry = (bytes: Uint8Array): TarEntry => ({
  name: `blobs/sha256/${createHash('sha256').update(bytes).digest('hex')}`,
  bytes,
})

/** All blobs of images, each once. */
export function blobEntries(images: readonly (Image | Index | StoredManifest)[]): TarEntry[] {
  const entries = images.flatMap((image): TarEntry[] => [
    blobEntry(image.bytes),
    ...('layers' in image ? [image.config, ...image.layers].map((blob) => blobEntry(blob.bytes())) : []),
    ...('manifests' in image ? blobEntries(image.manifests) : []),
  ])
  return [...new Map(entries.map((entry) => [entry.name, entry])).values()]
}

export const indexEntry = (images: readonly LayoutImage[]): TarEntry => ({
  name: 'index.json',
  bytes: Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      manifests: images.map(({ image, annotations }) => ({ ...image.descriptor, ...(annotations && { annotations }) })),
    }),
  ),
})

export const layoutEntry: TarEntry = { name: 'oci-layout', bytes: Buffer.from('{"imageLayoutVersion":"1.0.0"}') }

/** A layout as other tools write it: what says what is in it comes last. */
export const layoutTar = (images: readonly LayoutImage[], further: readonly TarEntry[] = []): Buffer =>
  tarOf([...blobEntries(images.map(({ image }) => image)), ...further, indexEntry(images), layoutEntry])
