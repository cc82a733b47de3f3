import type { BlobStore } from '../blobs/blob-store.ts'
import type { Digest } from '../oci/digest.ts'
import { maxManifestSize } from '../oci/manifest.ts'

/** What a manifest says of its image. */
export type ManifestFacts = {
  /** In bytes, of its config and layers as it declares them; absent where it declares none. */
  declaredSize?: number
  artifactType?: string
  /** The digest of what it is about, as it stands there. */
  subject?: string
}

/** Reads a stored manifest, without it counting as used. Says nothing of one that cannot be read. */
export async function manifestFacts(blobs: BlobStore, digest: Digest): Promise<ManifestFacts> {
  try {
    await using blob = await blobs.open(digest)
    if (!blob || blob.size > maxManifestSize) return {}
    const chunks: Buffer[] = []
    await using body = blob.body()
    await body.sendTo({
      write: (chunk) => {
        chunks.push(Buffer.from(chunk))
      },
    })
    return factsIn(JSON.parse(Buffer.concat(chunks).toString()))
  } catch {
    return {} // whoever pulls it finds out, and has it put aside
  }
}

type Described = { size?: unknown; mediaType?: unknown; digest?: unknown } | null | undefined

/** Throws for what is no object. */
export function factsIn(manifest: unknown): ManifestFacts {
  const { config, layers, blobs, artifactType, subject } = manifest as Record<string, Described | Described[]>
  const sizes = [config, layers, blobs].flat().map((descriptor) => descriptor?.size)
  const declared = sizes.filter((size) => Number.isSafeInteger(size) && (size as number) >= 0) as number[]
  const type = [artifactType, (config as Described)?.mediaType].find((text) => typeof text === 'string' && text !== '')
  const about = (subject as Described)?.digest
  return {
    ...(declared.length > 0 && { declaredSize: declared.reduce((sum, size) => sum + size, 0) }),
    ...(typeof type === 'string' && { artifactType: type }),
    ...(typeof about === 'string' && { subject: about }),
  }
}
