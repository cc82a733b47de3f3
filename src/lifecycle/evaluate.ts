import type { Digest } from '../oci/digest.ts'
import type { LifecyclePolicy, Limit } from './policy.ts'
import { tagMatcher } from './tag-match.ts'

/** An image of a repository: any manifest in it. Instants are milliseconds since the epoch. */
export type LifecycleImage = {
  readonly digest: Digest
  readonly tags: readonly string[]
  readonly pushedAt: number
  readonly pulledAt?: number
  /** The manifests that an index lists, whether the repository has them or not. */
  readonly references: readonly Digest[]
  /** What a signature or the like is about. */
  readonly subject?: Digest
  /** Stays whatever a policy says, with what it lists and what is about it. It counts like others. */
  readonly pinned?: boolean
}

/** An image that a policy lets go, and the priority of the rule that does it. */
export type Expiration<T extends LifecycleImage> = { readonly image: T; readonly rulePriority: number }

/**
 * The images of one repository, each given once, that expire at the instant `now`; those pushed first come first.
 * https://docs.aws.amazon.com/AmazonECR/latest/userguide/LifecyclePolicies.html#lp_evaluation_rules
 *
 * An image that an index lists stays as long as one such index does. A referrer goes with its subject and never by
 * itself; without its subject in the repository it is an image like others.
 */
export function expirations<T extends LifecycleImage>(
  policy: LifecyclePolicy,
  images: readonly T[],
  now: number,
): Expiration<T>[] {
  const repository = new Map(images.map((image) => [image.digest, image]))
  const referrers = referrersIn(repository)
  const taken = takenByRules(policy, candidatesIn(repository), now)
  for (const [digest, rulePriority] of taken) {
    for (const referrer of referrers.get(digest) ?? []) taken.set(referrer, rulePriority)
  }
  const kept = new Set(images.filter(({ digest, pinned }) => pinned || !taken.has(digest)).map(({ digest }) => digest))
  for (const digest of kept) {
    for (const listed of repository.get(digest)?.references ?? []) kept.add(listed)
    for (const referrer of referrers.get(digest) ?? []) kept.add(referrer)
  }
  return images.toSorted(oldestFirst).flatMap((image) => {
    const rulePriority = taken.get(image.digest)
    return rulePriority === undefined || kept.has(image.digest) ? [] : [{ image, rulePriority }]
  })
}

type Repository = ReadonlyMap<Digest, LifecycleImage>

/** The digests of the referrers that follow a subject of the repository, by subject. */
function referrersIn(repository: Repository): Map<Digest, Digest[]> {
  const referrers = new Map<Digest, Digest[]>()
  for (const { digest, subject } of repository.values()) {
    if (subject === undefined || !repository.has(subject)) continue
    const others = referrers.get(subject)
    if (others) others.push(digest)
    else referrers.set(subject, [digest])
  }
  return referrers
}

/** What rules decide about. `partial` is one that does not count: it belongs to an index, which does. */
type Candidate = { image: LifecycleImage; partial: boolean; rankedAt: number }

/**
 * All but the referrers, the youngest first. A cache has an index before the images that it lists, whereas what is
 * pushed comes the other way round: so that none of them outlives its index in a count, it ranks no younger than that.
 */
function candidatesIn(repository: Repository): Candidate[] {
  const listedAt = new Map<Digest, number>()
  for (const { references, pushedAt } of repository.values()) {
    for (const listed of references) listedAt.set(listed, Math.max(pushedAt, listedAt.get(listed) ?? -Infinity))
  }
  const candidates: Candidate[] = []
  for (const image of repository.values()) {
    if (image.subject !== undefined && repository.has(image.subject)) continue
    const indexAt = image.tags.length === 0 ? listedAt.get(image.digest) : undefined
    const rankedAt = Math.min(image.pushedAt, indexAt ?? Infinity)
    candidates.push({ image, partial: indexAt !== undefined, rankedAt })
  }
  return candidates.sort(
    (one, other) =>
      other.rankedAt - one.rankedAt ||
      Number(one.partial) - Number(other.partial) ||
      -oldestFirst(one.image, other.image),
  )
}

/** The priorities of the rules that take images, by digest. An image is left to the first rule that is about it. */
function takenByRules(policy: LifecyclePolicy, candidates: readonly Candidate[], now: number): Map<Digest, number> {
  const rules = policy.rules.map(({ priority, selection, limit }) => ({
    priority,
    matches: tagMatcher(selection),
    exceeds: limitTest(limit, now),
  }))
  const taken = new Map<Digest, number>()
  for (const candidate of candidates) {
    const { digest, tags } = candidate.image
    let claimed = false
    for (const { priority, matches, exceeds } of rules) {
      if (!matches(tags)) continue
      // What another rule claimed still counts, so that it is asked about too.
      if (exceeds(candidate) && !claimed) taken.set(digest, priority)
      claimed = true
    }
  }
  return taken
}

const dayMs = 24 * 60 * 60 * 1000

/** To be asked once about each image that a rule is about, the youngest first. */
function limitTest(limit: Limit, now: number): (candidate: Candidate) => boolean {
  switch (limit.countType) {
    case 'imageCountMoreThan': {
      let younger = 0
      return ({ partial }) => (partial ? younger : younger++) >= limit.count
    }
    case 'sinceImagePushed':
      return ({ image }) => now - image.pushedAt > limit.days * dayMs
    case 'sinceImagePulled':
      return ({ image }) => now - (image.pulledAt ?? image.pushedAt) > limit.days * dayMs
  }
}

/** By digest where the push times are equal: the order of what is asked must not decide. */
function oldestFirst(one: LifecycleImage, other: LifecycleImage): number {
  return one.pushedAt - other.pushedAt || (one.digest < other.digest ? -1 : 1)
}
