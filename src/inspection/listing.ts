import type { BlobStore } from '../blobs/blob-store.ts'
import { linkKey, type Metadata } from '../metadata/metadata.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import type { Images } from '../repositories/images.ts'
import type { Rule } from '../rules/rule.ts'

export type ListingOptions = {
  metadata: Pick<Metadata, 'repositories' | 'links' | 'pulls'>
  blobs: Pick<BlobStore, 'stat'>
  images: Images
  /** The rule that a repository of ours belongs to now. */
  ruleOf: (repository: string) => Rule | undefined
}

/** Instants are milliseconds since the epoch, sizes are bytes on disk. */
export type RepositorySummary = { repository: string; images: number; bytes: number; pulledAt?: number }

export type ImageSummary = {
  repository: string
  tags: string[]
  digest: Digest
  mediaType: string
  /** As its manifest declares it; absent where it declares none. */
  size?: number
  pulledAt?: number
}

type Stored = { digest: Digest; size: number; isImage: boolean }

/** The repositories whose names begin with `prefix`. A blob that several hold counts in each. */
export async function* repositories(prefix: string, options: ListingOptions): AsyncIterable<RepositorySummary> {
  for await (const [repository] of options.metadata.repositories.entries({ prefix })) {
    yield await summaryOf(repository, options)
  }
}

/** Their images. */
export async function* images(prefix: string, options: ListingOptions): AsyncIterable<ImageSummary> {
  const { metadata, images } = options
  for await (const [repository] of metadata.repositories.entries({ prefix })) {
    for await (const image of images.list(repository)) {
      const { digest, mediaType } = image
      const { size } = await images.facts(repository, image)
      const pulledAt = (await metadata.pulls.get(linkKey(repository, digest)))?.pulledAt
      yield {
        repository,
        tags: await images.tagsOf(repository, digest),
        digest,
        mediaType,
        ...(size !== undefined && { size }),
        ...(pulledAt !== undefined && { pulledAt }),
      }
    }
  }
}

async function summaryOf(repository: string, options: ListingOptions): Promise<RepositorySummary> {
  const summary: RepositorySummary = { repository, images: 0, bytes: 0 }
  for await (const { size, isImage } of storedOf(repository, options)) {
    summary.bytes += size
    if (isImage) summary.images++
  }
  let pulledAt = 0
  for await (const [, pull] of options.metadata.pulls.entries({ prefix: linkKey(repository, '' as Digest) })) {
    pulledAt = Math.max(pulledAt, pull.pulledAt)
  }
  return pulledAt > 0 ? { ...summary, pulledAt } : summary
}

/** What a repository holds that is on disk. */
export async function* storedOf(
  repository: string,
  { metadata, blobs, ruleOf }: Pick<ListingOptions, 'metadata' | 'blobs' | 'ruleOf'>,
): AsyncIterable<Stored> {
  const prefix = linkKey(repository, '' as Digest)
  const rule = ruleOf(repository)
  for await (const [key, { size, mediaType, upstream }] of metadata.links.entries({ prefix })) {
    const digest = key.slice(prefix.length)
    if (!isDigest(digest) || (rule && rule.upstream !== upstream)) continue
    if ((await blobs.stat(digest))?.size === size) yield { digest, size, isImage: mediaType !== undefined }
  }
}
