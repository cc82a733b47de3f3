import { MemoryStore } from '../../src/blobs/memory.ts'
import { MemoryMetadata } from '../../src/metadata/memory.ts'
import { linkKey, tagKey } from '../../src/metadata/metadata.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { mediaTypes, needsOf } from '../../src/oci/manifest.ts'
import { Deletion } from '../../src/repositories/deletion.ts'
import { Images } from '../../src/repositories/images.ts'
import { PullTimes } from '../../src/repositories/pull-times.ts'
import type { Rule } from '../../src/rules/rule.ts'

export const upstream = 'https://upstream.test'

/** Repositories in memory, with a clock that the test turns. */
export function given() {
  const metadata = new MemoryMetadata()
  const blobs = new MemoryStore()
  const clock = { now: 1_000_000 }
  const inUse = new Set<Digest>()
  const forgotten: Digest[] = []
  const pullTimes = new PullTimes(metadata, () => clock.now)
  const ruleOf = () => ({ upstream }) as Rule
  const deletion = new Deletion({
    metadata,
    blobs,
    pullTimes,
    clock: () => clock.now,
    isInUse: (digest) => inUse.has(digest),
    forget: (digest) => forgotten.push(digest),
  })

  const store = async (bytes: Buffer): Promise<Digest> => {
    const digest = digestOf(bytes)
    await using writer = await blobs.create('sha256')
    await writer.write(bytes)
    await writer.commit({ digest })
    return digest
  }
  const hold = async (repository: string, bytes: Buffer, mediaType?: string): Promise<Digest> => {
    const digest = await store(bytes)
    const manifest = mediaType !== undefined && { mediaType, needs: needsOf(bytes) }
    const link = { size: bytes.length, upstream, linkedAt: clock.now, ...manifest }
    await metadata.links.set(linkKey(repository, digest), link)
    return digest
  }
  const manifest = (repository: string, members: object, mediaType: string = mediaTypes.ociManifest) =>
    hold(repository, Buffer.from(JSON.stringify(members)), mediaType)
  return {
    metadata,
    blobs,
    clock,
    inUse,
    forgotten,
    pullTimes,
    deletion,
    images: new Images({ metadata, blobs, ruleOf }),
    blob: (repository: string, text: string) => hold(repository, Buffer.from(text)),
    manifest,
    image: (repository: string, ...layers: Digest[]) =>
      manifest(repository, { layers: layers.map((digest) => ({ digest, size: 10 })) }),
    index: (repository: string, ...children: Digest[]) =>
      manifest(repository, { manifests: children.map((digest) => ({ digest, size: 10 })) }, mediaTypes.ociIndex),
    tag: (repository: string, tag: string, digest: Digest, vouchedBy = upstream) =>
      metadata.tags.set(tagKey(repository, tag), { digest, upstream: vouchedBy, checkedAt: 0, movedAt: 0 }),
    /** Which of these are in the store. */
    stored: async (...digests: Digest[]) => {
      const there = await Promise.all(digests.map((digest) => blobs.stat(digest)))
      return digests.filter((_, index) => there[index])
    },
    keys: async () => {
      const keys: string[] = []
      for (const collection of [metadata.links, metadata.tags, metadata.referrers, metadata.pulls]) {
        for await (const [key] of collection.entries()) keys.push(key)
      }
      return keys
    },
  }
}
