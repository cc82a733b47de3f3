import type { BlobStore } from '../blobs/blob-store.ts'
import { contentOf, type Listed } from '../oci/content.ts'
import { isKind } from '../oci/errors.ts'
import { manifestMediaType, needsOf } from '../oci/manifest.ts'
import { freshBudget, maxDepth, type Survey } from './holdings.ts'
import { readManifest } from './manifest-bytes.ts'

/**
 * What a store has of an image, by nothing but digests: no repository may show any of it yet. `undefined` where its
 * manifest is not there. Throws `corrupt` for what is no sound one.
 */
export async function surveyStock(
  blobs: BlobStore,
  { digest, mediaType, size }: Listed,
  left = freshBudget(),
  depth = maxDepth,
): Promise<Survey | undefined> {
  if (depth < 0 || left.manifests <= 0 || left.bytes <= 0) return undefined
  const bytes = await readManifest(blobs, digest)
  if (!bytes || (size ?? bytes.length) !== bytes.length) return undefined
  left.manifests--
  left.bytes -= bytes.length
  const content = contentOf(bytes)
  const survey: Survey = {
    descriptor: { mediaType: manifestMediaType(bytes, mediaType), digest, size: bytes.length },
    content,
    needs: needsOf(bytes),
    blobs: [],
    missing: [],
    children: [],
    absent: [],
  }
  for (const { digest, size } of content.blobs) {
    const stored = (await blobs.stat(digest))?.size
    if (stored === undefined || (size ?? stored) !== stored) survey.missing.push(digest)
    else survey.blobs.push({ digest, size: stored })
  }
  for (const listed of content.manifests) {
    const child = await surveyStock(blobs, listed, left, depth - 1).catch(ifUnsound)
    if (child) survey.children.push({ ...child, listed })
    else survey.absent.push(listed)
  }
  return survey
}

/** An index is not all bad for one of the images that it lists. */
function ifUnsound(error: unknown): undefined {
  if (!isKind(error, 'corrupt')) throw error
}
