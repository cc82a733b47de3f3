import type { BlobStore } from '../blobs/blob-store.ts'
import { type Content, contentOf, type Listed } from '../oci/content.ts'
import type { Digest } from '../oci/digest.ts'
import { isKind } from '../oci/errors.ts'
import { isIndex, needsOf } from '../oci/manifest.ts'
import type { Descriptor } from '../oci/registry.ts'
import type { Images } from '../repositories/images.ts'
import { readManifest } from './manifest-bytes.ts'

/** An image, as much of it as is here. */
export type Survey = {
  descriptor: Descriptor
  content: Content
  /** What it is not whole without, as links have it. */
  needs: Digest[]
  /** Its config and layers that are here. */
  blobs: { digest: Digest; size: number }[]
  /** Its config and layers that are not. */
  missing: Digest[]
  /** What an index lists, of which the manifest is here. */
  children: (Survey & { listed: Listed })[]
  /** What an index lists, of which not even the manifest is, or not undamaged. */
  absent: Listed[]
}

/** Indexes within indexes; what lies deeper counts as absent. */
export const maxDepth = 3

/** Of one image. Those of real ones are some dozens; what goes beyond counts as absent. */
const maxManifests = 1000
const maxBytes = 32 * 1024 * 1024

export type Budget = { manifests: number; bytes: number }

/** What the survey of one image may read. */
export const freshBudget = (): Budget => ({ manifests: maxManifests, bytes: maxBytes })

/** What repositories hold of their images. Asks no upstream, and counts as no use. */
export class Holdings {
  readonly images: Images
  readonly #blobs: BlobStore

  constructor(images: Images, blobs: BlobStore) {
    this.images = images
    this.#blobs = blobs
  }

  /** What a manifest lists. `undefined` where the repository does not hold it. Throws `corrupt` for a damaged one. */
  async content(repository: string, digest: Digest): Promise<Content | undefined> {
    const bytes = (await this.images.get(repository, digest)) && (await readManifest(this.#blobs, digest))
    return bytes && contentOf(bytes)
  }

  /** `undefined` where the repository does not hold the manifest. Throws `corrupt` for one that is damaged. */
  survey(repository: string, digest: Digest): Promise<Survey | undefined> {
    return this.#survey(repository, digest, maxDepth, freshBudget())
  }

  async #survey(repository: string, digest: Digest, depth: number, left: Budget): Promise<Survey | undefined> {
    if (depth < 0 || left.manifests <= 0 || left.bytes <= 0) return undefined
    const image = await this.images.get(repository, digest)
    const bytes = image && (await readManifest(this.#blobs, digest))
    if (!image || !bytes) return undefined
    left.manifests--
    left.bytes -= bytes.length
    const content = contentOf(bytes)
    const survey: Survey = {
      descriptor: { mediaType: image.mediaType, digest, size: bytes.length },
      content,
      needs: needsOf(bytes),
      blobs: [],
      missing: [],
      children: [],
      absent: [],
    }
    for (const { digest } of content.blobs) {
      const size = await this.images.blobSize(repository, digest)
      if (size === undefined) survey.missing.push(digest)
      else survey.blobs.push({ digest, size })
    }
    for (const listed of content.manifests) {
      const child = await this.#survey(repository, listed.digest, depth - 1, left).catch(ifDamaged)
      if (child) survey.children.push({ ...child, listed })
      else survey.absent.push(listed)
    }
    return survey
  }
}

function ifDamaged(error: unknown): undefined {
  if (!isKind(error, 'corrupt')) throw error
}

/** Whether nothing of it is missing; an index is whole where all that it lists is. */
export const isWhole = ({ descriptor, missing, children, absent }: Survey): boolean =>
  missing.length === 0 && (!isIndex(descriptor.mediaType) || (absent.length === 0 && children.every(isWhole)))
