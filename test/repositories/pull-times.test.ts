import { expect, it } from 'vitest'
import { linkKey } from '../../src/metadata/metadata.ts'
import { PullTimes } from '../../src/repositories/pull-times.ts'
import { eventually } from '../support/eventually.ts'
import { given } from './given.ts'

const hour = 3_600_000

it('are written down, at most once an hour', async () => {
  const { metadata, pullTimes, clock, image } = given()
  const digest = await image('r')
  let writes = 0
  const { set } = metadata.pulls
  metadata.pulls.set = (key, value) => {
    writes++
    return set.call(metadata.pulls, key, value)
  }
  const noted = async (expected: number) => {
    pullTimes.note('r', digest)
    await eventually(async () => expect(await pullTimes.of('r', digest)).toBe(expected))
  }
  const begunAt = clock.now
  await noted(begunAt)
  for (let minute = 1; minute < 60; minute++) {
    clock.now = begunAt + minute * 60_000
    await noted(begunAt)
  }
  clock.now = begunAt + hour
  await noted(begunAt + hour)
  expect(writes).toBe(2)
  expect(await new PullTimes(metadata, () => 0).of('r', digest)).toBe(begunAt + hour)
})

it('are written down again after a deletion, and where the clock was set back', async () => {
  const { metadata, pullTimes, clock, image, deletion } = given()
  const digest = await image('r')
  const noted = async () => {
    pullTimes.note('r', digest)
    await eventually(async () => expect(await pullTimes.of('r', digest)).toBe(clock.now))
  }
  await noted()
  clock.now -= 10 * hour
  await noted()
  await deletion.images('r', [digest])
  expect(await metadata.pulls.get(linkKey('r', digest))).toBeUndefined()
  await image('r')
  clock.now += 1
  await noted()
})

it('of what is not held are not kept', async () => {
  const { metadata, pullTimes, image } = given()
  const digest = await image('r')
  pullTimes.note('s', digest)
  pullTimes.note('r', digest)
  await eventually(async () => expect(await pullTimes.of('r', digest)).toBeDefined())
  expect(await metadata.pulls.get(linkKey('s', digest))).toBeUndefined()
})
