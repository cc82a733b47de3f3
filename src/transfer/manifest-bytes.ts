import type { BlobStore } from '../blobs/blob-store.ts'
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts'
import { corrupt } from '../oci/errors.ts'
import { maxManifestSize } from '../oci/manifest.ts'

/** A stored manifest; `undefined` where there is none, or nothing that can be one. Throws `corrupt` for a damaged one. */
export async function readManifest(blobs: BlobStore, digest: Digest): Promise<Buffer | undefined> {
  await using blob = await blobs.open(digest)
  if (!blob || blob.size > maxManifestSize) return undefined
  const chunks: Buffer[] = []
  await using body = blob.body()
  await body.sendTo({ write: (chunk) => void chunks.push(Buffer.from(chunk)) })
  const bytes = Buffer.concat(chunks)
  if (digestOf(bytes, algorithmOf(digest)) === digest) return bytes
  throw corrupt(`the stored manifest ${digest} has other bytes than its digest says`)
}
