import { describe, expect, it } from 'vitest'
import { Pace } from '../../src/async/pace.ts'

const given = (perSecond: number, burst?: number) => {
  const clock = { now: 1000 }
  const pace = new Pace({ perSecond, now: () => clock.now, ...(burst !== undefined && { burst }) })
  return { clock, pace }
}

describe('a pace', () => {
  it('lets a burst pass and spreads the rest', () => {
    const { pace } = given(4)
    expect(Array.from({ length: 7 }, () => pace.take())).toEqual([0, 0, 0, 0, 250, 500, 750])
  })

  it('saves up no more than a burst', () => {
    const { clock, pace } = given(4)
    pace.take(4)
    clock.now += 3_600_000
    expect(Array.from({ length: 6 }, () => pace.take())).toEqual([0, 0, 0, 0, 250, 500])
  })

  it('tells beforehand how long one would have to wait', () => {
    const { clock, pace } = given(4)
    expect(pace.waitMs).toBe(0)
    pace.take(5)
    expect(pace.waitMs).toBe(500)
    clock.now += 500
    expect(pace.waitMs).toBe(0)
  })

  it('takes many units at once, and makes the next one wait for them', () => {
    const { pace } = given(1000, 1)
    expect([pace.take(500), pace.take(2000), pace.take(1)]).toEqual([0, 500, 2500])
  })

  it('may be slower than one in a second', () => {
    const { pace } = given(0.5)
    expect([pace.take(), pace.take(), pace.take()]).toEqual([0, 2000, 4000])
  })
})
