import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { expireInBackground } from '../../src/commands/background-expiry.ts'
import { linkKey } from '../../src/metadata/metadata.ts'
import { type Events, subscribe } from '../../src/telemetry/events.ts'
import { eventually } from '../support/eventually.ts'
import { day, givenExpiry, policyOf } from './expiring-images.ts'

const hour = 60 * 60_000
const afterOneDay = policyOf({ countType: 'sinceImagePushed', countNumber: 1 })

let faults: Events['cistern:fault'][]
let expiries: Events['cistern:expiry'][]
let subscriptions: (() => void)[]

beforeEach(() => {
  faults = []
  expiries = []
  subscriptions = [
    subscribe('cistern:fault', (fault) => faults.push(fault)),
    subscribe('cistern:expiry', (expiry) => expiries.push(expiry)),
  ]
})

afterEach(() => {
  for (const unsubscribe of subscriptions) unsubscribe()
})

describe('a lifecycle policy', () => {
  it('deletes what it lets go, and leaves other repositories alone', async () => {
    const { clock, blob, image, tag, stored, keys, expiry, settings, govern } = givenExpiry()
    const [own, shared] = [await blob('r', 'own'), await blob('r', 'shared')]
    const old = await image('r', own, shared)
    await tag('r', 'v1', old)
    const elsewhere = await image('other', shared)
    clock.now += day + 1
    const young = await image('r', shared)
    await govern('r', afterOneDay)

    await expiry.run(hour)
    expect(await stored(old, own, shared, elsewhere, young)).toEqual([shared, elsewhere, young])
    expect(await keys()).toEqual([linkKey('other', elsewhere), linkKey('r', shared), linkKey('r', young)].sort())
    expect((await settings.of('r')).lifecycleEvaluatedAt).toBe(clock.now)
    expect(expiries).toEqual([{ repository: 'r', images: 1, durationMs: expect.any(Number) }])
    expect(faults).toEqual([])
  })

  it('keeps the images of an index that stays, and lets a whole index go', async () => {
    const { clock, image, index, tag, stored, expiry, govern, blob } = givenExpiry()
    const [one, two] = await Promise.all(['one', 'two'].map(async (text) => image('r', await blob('r', text))))
    if (!one || !two) throw new Error('nothing was stored')
    const going = await index('r', one, two)
    await tag('r', 'going', going)
    clock.now += day + 1
    const staying = await index('r', two)
    await tag('r', 'staying', staying)
    await govern('r', afterOneDay)
    await expiry.soon('r')
    expect(await stored(going, one, two, staying)).toEqual([two, staying])
  })

  it('counts from the last pull where it says so', async () => {
    const { clock, image, blob, stored, metadata, expiry, govern } = givenExpiry()
    const [pulled, idle] = await Promise.all(['pulled', 'idle'].map(async (text) => image('r', await blob('r', text))))
    if (!pulled || !idle) throw new Error('nothing was stored')
    clock.now += 3 * day
    await metadata.pulls.set(linkKey('r', pulled), { pulledAt: clock.now - hour })
    await govern('r', policyOf({ countType: 'sinceImagePulled', countNumber: 2 }))
    await expiry.soon('r')
    expect(await stored(pulled, idle)).toEqual([pulled])
  })

  it('lets no pinned image go', async () => {
    const { clock, image, blob, tag, stored, expiry, govern } = givenExpiry((_, tags) => tags.includes('pinned'))
    const pinned = await image('r', await blob('r', 'pinned'))
    const other = await image('r', await blob('r', 'other'))
    await tag('r', 'pinned', pinned)
    clock.now += 2 * day
    await govern('r', afterOneDay)
    await expiry.soon('r')
    expect(await stored(pinned, other)).toEqual([pinned])
  })

  it('that cannot be read deletes nothing, is announced, and does not keep others from their turn', async () => {
    const { clock, image, blob, stored, expiry, govern, settings } = givenExpiry()
    const [a, b] = [await image('a', await blob('a', 'a')), await image('b', await blob('b', 'b'))]
    clock.now += 2 * day
    await govern('a', '{"rules":[{"from":"a later version"}]}')
    await govern('b', afterOneDay)
    await expiry.run(hour)
    expect(await stored(a, b)).toEqual([a])
    expect(faults).toMatchObject([{ repository: 'a', kind: 'invalid' }])
    expect(await settings.of('a')).not.toHaveProperty('lifecycleEvaluatedAt')
  })

  it('is applied when it is due, and as soon as it is asked for', async () => {
    const { clock, expiry, govern } = givenExpiry()
    await govern('a', afterOneDay)
    await govern('b', afterOneDay)
    await expiry.run(hour)
    expect(expiries.map(({ repository }) => repository)).toEqual(['a', 'b'])
    clock.now += hour - 1
    await expiry.run(hour)
    expect(expiries).toHaveLength(2)
    await Promise.all([expiry.soon('b'), expiry.soon('b')])
    expect(expiries.map(({ repository }) => repository)).toEqual(['a', 'b', 'b'])
    clock.now += 1
    await expiry.run(hour)
    expect(expiries.map(({ repository }) => repository)).toEqual(['a', 'b', 'b', 'a'])
    clock.now = 0
    await expiry.run(hour)
    expect(expiries).toHaveLength(6)
  })

  it('that is taken away while images are looked at deletes none of them', async () => {
    const { clock, image, blob, stored, expiry, govern, settings, metadata } = givenExpiry()
    const digest = await image('r', await blob('r', 'x'))
    clock.now += 2 * day
    await govern('r', afterOneDay)
    metadata.pulls.get = async () => {
      await settings.change('r', () => ({}))
      return undefined
    }
    await expiry.soon('r')
    expect(await stored(digest)).toEqual([digest])
    expect(expiries).toEqual([])
  })

  it('is applied no more once its owner ends that', async () => {
    const { clock, image, blob, stored, expiry, govern } = givenExpiry()
    const digest = await image('r', await blob('r', 'x'))
    clock.now += 2 * day
    await govern('r', afterOneDay)
    const turn = expiry.soon('r')
    await expiry[Symbol.asyncDispose]()
    await turn
    await expiry.run(hour)
    expect(await stored(digest)).toEqual([digest])
    expect([...faults, ...expiries]).toEqual([])
  })

  it('is applied in the background, time and again', async () => {
    const { clock, image, blob, stored, expiry, govern } = givenExpiry()
    const first = await image('r', await blob('r', 'x'))
    clock.now += 2 * day
    await govern('r', afterOneDay)
    using _ = expireInBackground(expiry, 10)
    await eventually(async () => expect(await stored(first)).toEqual([]))
    const second = await image('r', await blob('r', 'y'))
    clock.now += 2 * day
    await eventually(async () => expect(await stored(second)).toEqual([]))
  })
})
