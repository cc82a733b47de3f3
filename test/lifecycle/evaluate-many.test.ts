import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { expirations, type LifecycleImage } from '../../src/lifecycle/evaluate.ts'
import { type LifecyclePolicy, type LifecycleRule, parseLifecyclePolicy } from '../../src/lifecycle/policy.ts'
import { tagMatcher } from '../../src/lifecycle/tag-match.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { any, documentOf, keep, patterns, prefixes, pulled, pushed, rule, untagged } from './documents.ts'

const dayMs = 86_400_000
const now = 100 * dayMs

const digest = (index: number): Digest => `sha256:${index.toString(16).padStart(64, '0')}`

const names = Array.from({ length: 12 }, (_, index) => digest(index))
const anyImage = fc.record(
  {
    tags: fc.uniqueArray(fc.constantFrom('a1', 'a2', 'b1', 'ab', 'c'), { maxLength: 3 }),
    pushedAt: fc.nat(8).map((days) => now - days * dayMs),
    pulledAt: fc.nat(8).map((days) => now - days * dayMs),
    references: fc.uniqueArray(fc.constantFrom(...names), { maxLength: 2 }),
    subject: fc.constantFrom(...names),
  },
  { requiredKeys: ['tags', 'pushedAt', 'references'] },
)
const someImages: fc.Arbitrary<LifecycleImage[]> = fc
  .array(anyImage, { maxLength: names.length })
  .map((images) => images.map((image, index) => ({ ...image, digest: digest(index) })))

const someLimit = fc.nat(4).chain((count) => fc.constantFrom(keep(count + 1), pushed(count + 1), pulled(count + 1)))
const somePolicy: fc.Arbitrary<LifecyclePolicy> = fc
  .tuple(
    fc.subarray([prefixes('a'), prefixes('b', 'a'), patterns('*b*'), patterns('c'), untagged]),
    fc.array(someLimit, { minLength: 6, maxLength: 6 }),
  )
  .map(([selections, limits]) =>
    parseLifecyclePolicy(
      documentOf(
        ...[...selections, any].map((selection, index) => rule(index + 1, { ...selection, ...limits[index] })),
      ),
    ),
  )

const evaluated = (policy: LifecyclePolicy, images: readonly LifecycleImage[]) =>
  new Map(expirations(policy, images, now).map(({ image, rulePriority }) => [image, rulePriority]))

const isAbout = ({ selection }: LifecycleRule, { tags }: LifecycleImage) => tagMatcher(selection)(tags)

describe('whatever the images and the rules are', () => {
  it('the order in which images are given does not matter', () => {
    const shuffled = someImages.chain((images) =>
      fc.tuple(fc.constant(images), fc.shuffledSubarray(images, { minLength: images.length })),
    )
    fc.assert(
      fc.property(shuffled, somePolicy, ([images, others], policy) => {
        expect(expirations(policy, others, now)).toEqual(expirations(policy, images, now))
      }),
    )
  })

  it('a count leaves as many images as it says, where there are so many', () => {
    fc.assert(
      fc.property(someImages, somePolicy, (images, policy) => {
        const gone = evaluated(policy, images)
        const present = new Set(images.map((image) => image.digest))
        const single = images.filter(({ subject }) => subject === undefined || !present.has(subject))
        for (const each of policy.rules) {
          if (each.limit.countType !== 'imageCountMoreThan') continue
          const about = single.filter((image) => isAbout(each, image))
          const taken = about.filter((image) => gone.get(image) === each.priority)
          expect(taken.length).toBeLessThanOrEqual(Math.max(0, about.length - each.limit.count))
        }
      }),
    )
  })

  it('nothing goes that a rule before keeps, an index that stays lists, or whose subject stays', () => {
    fc.assert(
      fc.property(someImages, somePolicy, (images, policy) => {
        const gone = evaluated(policy, images)
        const byDigest = new Map(images.map((image) => [image.digest, image]))
        const stays = (image: LifecycleImage | undefined) => image !== undefined && !gone.has(image)
        for (const image of images.filter(stays)) {
          for (const listed of image.references) expect(gone.has(byDigest.get(listed) ?? image)).toBe(false)
        }
        for (const [image, priority] of gone) {
          const subject = image.subject && byDigest.get(image.subject)
          if (subject) {
            expect(gone.get(subject)).toBe(priority)
            continue
          }
          expect(policy.rules.find((each) => isAbout(each, image))?.priority).toBe(priority)
        }
      }),
    )
  })

  it('what goes by its age is older than it may be', () => {
    fc.assert(
      fc.property(someImages, somePolicy, (images, policy) => {
        for (const { image, rulePriority } of expirations(policy, images, now)) {
          const limit = policy.rules.find(({ priority }) => priority === rulePriority)?.limit
          if (!limit || limit.countType === 'imageCountMoreThan') continue
          if (image.subject !== undefined && images.some((other) => other.digest === image.subject)) continue
          const { pushedAt, pulledAt = pushedAt } = image
          expect(limit.countType === 'sinceImagePushed' ? pushedAt : pulledAt).toBeLessThan(now - limit.days * dayMs)
        }
      }),
    )
  })
})

describe('a repository of 100,000 images', () => {
  const count = 100_000
  const policy = parseLifecyclePolicy(
    documentOf(
      ...Array.from({ length: 48 }, (_, index) => rule(index + 1, { ...patterns(`*x*y*z*${index}`), ...keep(1) })),
      rule(49, { ...prefixes('tag'), ...keep(10) }),
      rule(50, { ...any, ...pushed(20) }),
    ),
  )
  const tagged = (index: number) => ({ tags: [`tag-${index}`] })
  const references = Array.from({ length: count }, (_, index) => digest(index))

  it.each<[string, (index: number) => Partial<LifecycleImage>, number]>([
    ['are tagged', tagged, count - 10],
    ['list each the next', (index) => ({ references: [digest(index + 1)] }), count],
    ['list each the next, the first one kept', (index) => ({ references: [digest(index + 1)], ...first(index) }), 0],
    ['are all listed by one that is kept', (index) => (index ? {} : { references, ...first(index) }), 0],
    ['refer each to the one before', (index) => (index ? { subject: digest(index - 1) } : {}), count],
    ['refer all to one that is kept', (index) => (index ? { subject: digest(0) } : tagged(0)), 0],
  ])('is gone through in no time, where they %s', (_, image, gone) => {
    const images = references.map((digest, index) => ({
      digest,
      tags: [],
      pushedAt: (index * 7919) % count,
      references: [],
      ...image(index),
    }))

    expect(expirations(policy, images, now)).toHaveLength(gone)
  })

  const first = (index: number) => (index === 0 ? tagged(0) : {})
})
