import type { BlobInfo } from '../blobs/blob-store.ts'
import type { Link } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'

export type LinkEntry = { repository: string; digest: Digest; link: Link }

/** What eviction decides from. */
export type Holdings = {
  blobs: ReadonlyMap<Digest, BlobInfo>
  links: readonly LinkEntry[]
  /** Whether an image stays whatever happens. */
  pinned: (repository: string, manifest: Digest) => boolean
  /** Whether somebody is at work with a blob: it stays, and so does every image that needs it. */
  held: (digest: Digest) => boolean
  /** The rule that a repository belongs to, and the bytes that are reserved for its images. */
  reserveOf: (repository: string) => { rule: string; bytes: number }
}

export type Goal = {
  /** Bytes to free. */
  excess: number
  /** What was not used since this instant goes in any event, in milliseconds since the epoch. */
  unusedSince?: number | undefined
}

/** A manifest that no other one lists, with all it needs: it stays and goes as one. */
export type Image = { repository: string; manifest: Digest; closure: ReadonlySet<Digest>; usedAt: number }

export type EvictionPlan = { images: Image[]; blobs: Digest[]; bytes: number }

/**
 * Chooses what goes: the images longest out of use first, and of each only the blobs that no image which stays needs.
 * Blobs that belong to no image take their turn by their own last use.
 */
export function planEviction(holdings: Holdings, goal: Goal): EvictionPlan {
  const { blobs, pinned, held, reserveOf } = holdings
  const sizeOf = (digest: Digest) => blobs.get(digest)?.size ?? 0
  const images = imagesOf(holdings)
  const all = new Share(images, sizeOf)
  const byRule = Map.groupBy(images, ({ repository }) => reserveOf(repository).rule)
  const shares = new Map([...byRule].map(([rule, own]) => [rule, new Share(own, sizeOf)]))
  const plan: EvictionPlan = { images: [], blobs: [], bytes: 0 }

  const strays = [...blobs.values()].filter(({ digest }) => !all.needs(digest))
  const candidates = [
    ...images.map((image) => ({ usedAt: image.usedAt, image, stray: undefined })),
    ...strays.map((stray) => ({ usedAt: stray.usedAt, image: undefined, stray })),
  ].sort((a, b) => a.usedAt - b.usedAt)

  for (const { image, stray, usedAt } of candidates) {
    const expired = goal.unusedSince !== undefined && usedAt < goal.unusedSince
    if (!expired && plan.bytes >= goal.excess) break
    if (stray) {
      if (held(stray.digest)) continue
      plan.blobs.push(stray.digest)
      plan.bytes += stray.size
      continue
    }
    if (pinned(image.repository, image.manifest) || [...image.closure].some(held)) continue
    const { rule, bytes: reserved } = reserveOf(image.repository)
    const share = shares.get(rule)
    if (!expired && share && share.bytes - share.bytesOf(image) < reserved) continue
    share?.remove(image)
    plan.images.push(image)
    const freed = all.remove(image).filter((digest) => blobs.has(digest))
    plan.blobs.push(...freed)
    plan.bytes += freed.reduce((sum, digest) => sum + sizeOf(digest), 0)
  }
  return plan
}

/** The blobs that some images need, each counted once. */
class Share {
  readonly #holders = new Map<Digest, number>()
  readonly #sizeOf: (digest: Digest) => number
  bytes = 0

  constructor(images: readonly Image[], sizeOf: (digest: Digest) => number) {
    this.#sizeOf = sizeOf
    for (const { closure } of images) {
      for (const digest of closure) {
        const holders = this.#holders.get(digest) ?? 0
        if (holders === 0) this.bytes += sizeOf(digest)
        this.#holders.set(digest, holders + 1)
      }
    }
  }

  needs(digest: Digest): boolean {
    return this.#holders.has(digest)
  }

  /** What only this image needs. */
  bytesOf({ closure }: Image): number {
    const own = [...closure].filter((digest) => this.#holders.get(digest) === 1)
    return own.reduce((sum, digest) => sum + this.#sizeOf(digest), 0)
  }

  /** Takes an image out, and returns what nobody needs any more. */
  remove(image: Image): Digest[] {
    this.bytes -= this.bytesOf(image)
    for (const digest of image.closure) this.#holders.set(digest, (this.#holders.get(digest) ?? 1) - 1)
    return [...image.closure].filter((digest) => this.#holders.get(digest) === 0)
  }
}

/** Every manifest that no manifest of its repository lists is an image; those it lists belong to it. */
function imagesOf({ links, blobs }: Holdings): Image[] {
  const images: Image[] = []
  for (const [repository, manifests] of manifestsByRepository(links)) {
    const listed = new Set([...manifests.values()].flat().filter((digest) => manifests.has(digest)))
    for (const manifest of manifests.keys()) {
      if (listed.has(manifest)) continue
      const closure = closureOf(manifest, manifests)
      const uses = [...closure]
        .filter((digest) => manifests.has(digest))
        .map((digest) => blobs.get(digest)?.usedAt ?? 0)
      images.push({ repository, manifest, closure, usedAt: Math.max(...uses) })
    }
  }
  return images
}

function manifestsByRepository(links: readonly LinkEntry[]): Map<string, Map<Digest, Digest[]>> {
  const repositories = new Map<string, Map<Digest, Digest[]>>()
  for (const { repository, digest, link } of links) {
    if (!link.mediaType) continue
    const manifests = repositories.get(repository) ?? new Map<Digest, Digest[]>()
    manifests.set(digest, link.needs ?? [])
    repositories.set(repository, manifests)
  }
  return repositories
}

function closureOf(manifest: Digest, manifests: ReadonlyMap<Digest, Digest[]>): Set<Digest> {
  const closure = new Set<Digest>([manifest])
  for (const digest of closure) for (const needed of manifests.get(digest) ?? []) closure.add(needed)
  return closure
}
