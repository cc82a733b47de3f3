import {
  GetLifecyclePolicyPreviewCommand,
  type GetLifecyclePolicyPreviewCommandInput,
  waitUntilLifecyclePolicyPreviewComplete,
} from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { any, documentOf, keep, patterns, prefixes, pushed, rule, untagged } from '../../lifecycle/documents.ts'
import { Governed, repositoryName } from './governed.ts'

/** The repository of the user guide's examples; two images have no tag. Ages are in days. */
const contents = { A: [20, 'beta-1', 'prod-1'], B: [9, 'beta-2', 'prod-2'], C: [8, 'beta-3'], D: [7], E: [1] } as const
const names = new Map<string, string>()
let governed: Governed

beforeAll(async () => {
  governed = await Governed.start()
  let age = 20
  for (const [name, [pushedAgo, ...tags]] of Object.entries(contents)) {
    governed.pass(age - pushedAgo)
    age = pushedAgo
    names.set((await governed.add(name, tags)).digest, name)
  }
  governed.pass(age)
})

afterAll(() => governed[Symbol.asyncDispose]())

type Wanted = Omit<GetLifecyclePolicyPreviewCommandInput, 'repositoryName'>

const get = async (wanted: Wanted = {}) => {
  const preview = await governed.ecr.send(new GetLifecyclePolicyPreviewCommand({ repositoryName, ...wanted }))
  const named = preview.previewResults?.map(({ imageDigest = '' }) => names.get(imageDigest))
  return { ...preview, named }
}

describe('the policies of the user guide', () => {
  const oneOf = (first: string, second: string) =>
    documentOf(rule(1, { ...prefixes(first), ...keep(1) }), rule(2, { ...prefixes(second), ...keep(1) }))

  it.each([
    ['images of a pattern, by age', documentOf(rule(1, { ...patterns('prod*'), ...pushed(14) })), ['A:1']],
    ['untagged images, by age', documentOf(rule(1, { ...untagged, ...pushed(5) })), ['D:1']],
    ['untagged images, by count', documentOf(rule(1, { ...untagged, ...keep(1) })), ['D:1']],
    ['several rules, A', oneOf('prod', 'beta'), ['A:1']],
    ['several rules, B', oneOf('beta', 'prod'), ['A:1', 'B:1']],
    ['several tags in one rule, by age', documentOf(rule(1, { ...prefixes('beta', 'prod'), ...pushed(14) })), ['A:1']],
    ['several tags in one rule, by count', documentOf(rule(1, { ...patterns('beta*', 'prod*'), ...keep(1) })), ['A:1']],
    ['all images, by count', documentOf(rule(1, { ...any, ...keep(1) })), ['A:1', 'B:1', 'C:1', 'D:1']],
    [
      'all kinds of rules together',
      documentOf(
        rule(1, { ...prefixes('prod'), ...keep(1) }),
        rule(2, { ...untagged, ...pushed(5) }),
        rule(3, { ...any, ...keep(2) }),
      ),
      ['A:1', 'C:3', 'D:2'],
    ],
  ])('%s', async (_, text, expected) => {
    const { previewResults = [], summary, lifecyclePolicyText } = await governed.preview(text)
    const told = previewResults.map(
      ({ imageDigest = '', appliedRulePriority }) => `${names.get(imageDigest)}:${appliedRulePriority}`,
    )
    expect(told).toEqual(expected)
    expect(summary?.expiringImageTotalCount).toBe(expected.length)
    expect(lifecyclePolicyText).toBe(text)
    expect(await governed.digests()).toHaveLength(5)
  })

  it('on archives are refused with the reason', async () => {
    const action = { type: 'transition', targetStorageClass: 'archive' }
    const text = documentOf(rule(1, { ...any, ...pushed(90) }, { action }))
    await expect(governed.preview(text)).rejects.toMatchObject({
      name: 'InvalidParameterException',
      message: expect.stringContaining('no other storage class is supported here'),
    })
  })
})

describe('a preview', () => {
  const text = documentOf(rule(7, { ...any, ...keep(1) }))

  beforeAll(async () => {
    await governed.preview(text)
  })

  it('tells of each image what becomes of it, and AWS’s waiter when it is complete', async () => {
    const { ecr } = governed
    await waitUntilLifecyclePolicyPreviewComplete({ client: ecr, maxWaitTime: 10 }, { repositoryName })
    const { previewResults: [first] = [] } = await get()
    const [digest] = names.keys()
    expect(first).toEqual({
      imageDigest: digest,
      imageTags: ['beta-1', 'prod-1'],
      imagePushedAt: expect.any(Date),
      action: { type: 'EXPIRE' },
      appliedRulePriority: 7,
      storageClass: 'STANDARD',
    })
    const ageMs = Date.now() + governed.passedMs - (first?.imagePushedAt?.getTime() ?? 0)
    expect(Math.round(ageMs / 86_400_000)).toBe(20)
  })

  it('comes by pages, the oldest first', async () => {
    const first = await get({ maxResults: 3 })
    expect(first.named).toEqual(['A', 'B', 'C'])
    const second = await get({ maxResults: 3, nextToken: first.nextToken ?? '' })
    expect(second.named).toEqual(['D'])
    expect(second).not.toHaveProperty('nextToken')
    expect(second.summary?.expiringImageTotalCount).toBe(4)
    await expect(get({ nextToken: 'bm9uc2Vuc2U' })).rejects.toMatchObject({ name: 'InvalidParameterException' })
    await expect(get({ maxResults: 101 })).rejects.toMatchObject({ name: 'InvalidParameterException' })
  })

  it.each<[string, Wanted, string[]]>([
    ['the tagged ones', { filter: { tagStatus: 'TAGGED' } }, ['A', 'B', 'C']],
    ['the untagged ones', { filter: { tagStatus: 'UNTAGGED' } }, ['D']],
    ['any', { filter: { tagStatus: 'ANY' } }, ['A', 'B', 'C', 'D']],
    ['a tag', { imageIds: [{ imageTag: 'prod-2' }] }, ['B']],
    ['what is not there', { imageIds: [{ imageTag: 'none' }, {}] }, []],
    ['several tags', { imageIds: [{ imageTag: 'beta-3' }, { imageTag: 'beta-1' }] }, ['A', 'C']],
  ])('can be asked for %s', async (_, wanted, expected) => {
    expect((await get(wanted)).named).toEqual(expected)
  })

  it('can be asked for digests, and for one with a tag', async () => {
    const [a = '', b = '', , d = '', e = ''] = names.keys()
    expect((await get({ imageIds: [{ imageDigest: d }, { imageDigest: e }] })).named).toEqual(['D'])
    expect((await get({ imageIds: [{ imageDigest: a, imageTag: 'prod-1' }] })).named).toEqual(['A'])
    expect((await get({ imageIds: [{ imageDigest: b, imageTag: 'prod-1' }] })).named).toEqual([])
  })

  it.each([{ maxResults: 5 }, { nextToken: 'x' }])('gives no pages of what is named: %j', async (paging) => {
    await expect(get({ imageIds: [{ imageTag: 'prod-1' }], ...paging })).rejects.toMatchObject({
      name: 'InvalidParameterException',
      message: expect.stringContaining('imageIds'),
    })
  })

  it('is of the policy that was put where none is given', async () => {
    const kept = documentOf(rule(1, { ...any, ...keep(100) }, { description: 'lets nothing go for the time being' }))
    await governed.put(kept)
    const preview = await governed.preview()
    expect(preview).toMatchObject({ lifecyclePolicyText: kept, summary: { expiringImageTotalCount: 0 } })
    expect(preview.previewResults).toEqual([])
  })
})
