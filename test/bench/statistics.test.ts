import { describe, expect, it } from 'vitest'
import { percentile, ratios, summarise } from '../../bench/statistics.ts'

describe('the statistics of the benchmark', () => {
  it('summarises in any order, and takes the middle between two', () => {
    expect(summarise([30, 1, 2])).toEqual({ median: 2, min: 1, max: 30 })
    expect(summarise([10, 4, 2, 1])).toEqual({ median: 3, min: 1, max: 10 })
    expect(summarise([7])).toEqual({ median: 7, min: 7, max: 7 })
  })

  it('takes for p99 what one in a hundred exceeds', () => {
    const values = Array.from({ length: 1000 }, (_, n) => 1000 - n)

    expect(percentile(values, 0.99)).toBe(990)
    expect(percentile([5], 0.99)).toBe(5)
  })

  it('compares round by round, not median with median', () => {
    expect(ratios([10, 40], [5, 40])).toEqual([2, 1])
    expect(() => ratios([1], [1, 2])).toThrow('cannot be paired')
  })

  it('makes nothing of nothing', () => {
    expect(() => summarise([])).toThrow('no value')
    expect(() => percentile([], 0.99)).toThrow('no value')
  })
})
