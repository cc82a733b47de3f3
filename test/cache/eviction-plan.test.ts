import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Holdings, type LinkEntry, planEviction } from '../../src/cache/eviction-plan.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'

const digest = (name: string): Digest => digestOf(Buffer.from(name))

type Picture = {
  /** Blobs by name: size and last use. */
  blobs: Record<string, [size: number, usedAt: number]>
  /** Manifests, as `repository@name`, and what they need. */
  manifests: Record<string, string[]>
  pinned?: string[]
  held?: string[]
  reserve?: number
}

function holdings({ blobs, manifests, pinned = [], held = [], reserve = 0 }: Picture): Holdings {
  const links: LinkEntry[] = Object.entries(manifests).flatMap(([key, needs]) => {
    const [repository = '', name = ''] = key.split('@')
    const link = { size: 1, upstream: 'u', linkedAt: 0 }
    const plain = needs.map((need) => ({ repository, digest: digest(need), link }))
    const own = { ...link, mediaType: 'm', needs: needs.map(digest) }
    return [...plain.filter(({ digest: need }) => !isManifest(need)), { repository, digest: digest(name), link: own }]
  })
  const names = Object.keys(manifests).map((key) => key.split('@')[1] ?? '')
  function isManifest(candidate: Digest) {
    return Object.keys(manifests).some((key) => digest(key.split('@')[1] ?? '') === candidate)
  }
  const known = Object.entries(blobs).map(
    ([name, [size, usedAt]]) => [digest(name), { digest: digest(name), size, usedAt }] as const,
  )
  return {
    blobs: new Map(known),
    links,
    pinned: (_, manifest) => names.some((name) => pinned.includes(name) && digest(name) === manifest),
    held: (candidate) => held.some((name) => digest(name) === candidate),
    reserveOf: () => ({ rule: 'r', bytes: reserve }),
  }
}

const plan = (picture: Picture, excess: number, unusedSince?: number) => {
  const { images, blobs, bytes } = planEviction(holdings(picture), { excess, unusedSince })
  const name = (wanted: Digest) => Object.keys(picture.blobs).find((each) => digest(each) === wanted)
  return { images: images.map(({ manifest }) => name(manifest)), blobs: blobs.map(name).sort(), bytes }
}

describe('what is evicted', () => {
  it('is nothing where nothing has to go', () => {
    expect(plan({ blobs: { m: [1, 1] }, manifests: { 'a@m': [] } }, 0)).toEqual({ images: [], blobs: [], bytes: 0 })
  })

  it('is the image longest out of use, with all that is its own', () => {
    const picture = {
      blobs: { old: [1, 10], l1: [100, 90], new: [1, 20], l2: [100, 1] },
      manifests: { 'a@old': ['l1'], 'b@new': ['l2'] },
    } satisfies Picture
    expect(plan(picture, 50)).toEqual({ images: ['old'], blobs: ['l1', 'old'], bytes: 101 })
    expect(plan(picture, 150).images).toEqual(['old', 'new'])
  })

  it('G103: is no blob that an image which stays needs, also in another repository', () => {
    const picture = {
      blobs: { old: [1, 10], new: [1, 20], shared: [100, 5], own: [50, 5] },
      manifests: { 'a@old': ['shared', 'own'], 'b@new': ['shared'] },
    } satisfies Picture
    expect(plan(picture, 50)).toEqual({ images: ['old'], blobs: ['old', 'own'], bytes: 51 })
    expect(plan(picture, 52).blobs).toEqual(['new', 'old', 'own', 'shared'])
  })

  it('is nothing that somebody is at work with', () => {
    const picture = {
      blobs: { old: [1, 10], l1: [100, 1], new: [1, 20], l2: [100, 1], stray: [10, 1] },
      manifests: { 'a@old': ['l1'], 'b@new': ['l2'] },
    } satisfies Picture
    expect(plan({ ...picture, held: ['l1', 'stray'] }, 50)).toEqual({
      images: ['new'],
      blobs: ['l2', 'new'],
      bytes: 101,
    })
    expect(plan({ ...picture, held: ['l1', 'stray'] }, 500, 15)).toMatchObject({ images: ['new'] })
    expect(plan({ ...picture, held: ['stray'] }, 50).images).toEqual(['old'])
  })

  it('is an index as one with its children, as recent as the latest of them', () => {
    const picture = {
      blobs: { index: [1, 1], amd: [1, 50], arm: [1, 2], l1: [10, 1], l2: [10, 1], other: [1, 20] },
      manifests: { 'a@index': ['amd', 'arm'], 'a@amd': ['l1'], 'a@arm': ['l2'], 'b@other': [] },
    } satisfies Picture
    expect(plan(picture, 1).images).toEqual(['other'])
    expect(plan(picture, 2)).toEqual({
      images: ['other', 'index'],
      blobs: ['amd', 'arm', 'index', 'l1', 'l2', 'other'],
      bytes: 24,
    })
  })

  it('takes blobs of no image in their turn', () => {
    const picture = { blobs: { m: [1, 20], l: [9, 1], stray: [30, 10] }, manifests: { 'a@m': ['l'] } } satisfies Picture
    expect(plan(picture, 1)).toEqual({ images: [], blobs: ['stray'], bytes: 30 })
  })

  it('is nothing that is pinned, however much has to go', () => {
    const picture = {
      blobs: { pin: [1, 1], l: [100, 1], other: [1, 9] },
      manifests: { 'a@pin': ['l'], 'a@other': ['l'] },
      pinned: ['pin'],
    } satisfies Picture
    expect(plan(picture, 1e9)).toEqual({ images: ['other'], blobs: ['other'], bytes: 1 })
  })

  it('leaves a rule its reserve', () => {
    const picture = {
      blobs: { one: [100, 1], two: [100, 2], three: [100, 3] },
      manifests: { 'a@one': [], 'a@two': [], 'a@three': [] },
      reserve: 150,
    } satisfies Picture
    expect(plan(picture, 1e9).images).toEqual(['one'])
  })

  it('is all that was not used for too long, though there is room', () => {
    const picture = { blobs: { old: [1, 10], new: [1, 20] }, manifests: { 'a@old': [], 'a@new': [] } } satisfies Picture
    expect(plan(picture, 0, 15).images).toEqual(['old'])
  })

  it('never takes a blob from an image that stays, and frees enough where it can', () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f']
    const manifests = fc.dictionary(
      fc.constantFrom('r@m1', 'r@m2', 's@m1', 's@m3', 't@m4'),
      fc.array(fc.constantFrom(...names, 'm1', 'm2', 'm3'), { maxLength: 4 }),
    )
    const blobs = fc.record(
      Object.fromEntries(
        [...names, 'm1', 'm2', 'm3', 'm4'].map((name) => [name, fc.tuple(fc.nat(100), fc.nat(1000))]),
      ) as Record<string, fc.Arbitrary<[number, number]>>,
    )
    fc.assert(
      fc.property(manifests, blobs, fc.nat(800), (manifests, blobs, excess) => {
        const picture = holdings({ blobs, manifests: { ...manifests } })
        const { images, blobs: gone, bytes } = planEviction(picture, { excess })
        const total = Object.values(blobs).reduce((sum, [size]) => sum + size, 0)
        expect(bytes).toBe(gone.reduce((sum, each) => sum + (picture.blobs.get(each)?.size ?? 0), 0))
        expect(new Set(gone).size).toBe(gone.length)
        if (images.length < planEviction(picture, { excess: Infinity }).images.length) {
          expect(bytes >= excess || excess > total).toBe(true)
        }
        const evicted = new Set(images.map(({ repository, manifest }) => `${repository}@${manifest}`))
        const rest = planEviction(picture, { excess: Infinity }).images.filter(
          ({ repository, manifest }) => !evicted.has(`${repository}@${manifest}`),
        )
        for (const { closure } of rest) for (const each of gone) expect(closure.has(each)).toBe(false)
      }),
    )
  })
})
