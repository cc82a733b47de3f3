import { describe, expect, it } from 'vitest'
import { doubts, type Finding, judge } from '../../bench/finding.ts'

const finding = (further: Partial<Finding>): Finding => ({
  id: 'x',
  title: 'x',
  unit: 'GB/s',
  ours: [1],
  target: { direction: 'at least', must: 1, aim: 1.5 },
  ...further,
})

const against = (ours: number[], peers: number[]) => finding({ ours, peer: { name: 'nginx', values: peers } })

const nullTest = (ratio: number): Finding => ({
  ...against([ratio], [1]),
  id: 'null',
  target: { within: [0.95, 1.05] },
})

describe('what the benchmark makes of a finding', () => {
  it('judges the ratio where there is a peer', () => {
    const verdicts = [0.9, 1, 1.49, 1.5].map((value) => judge(against([value], [1])).verdict)

    expect(verdicts).toEqual(['short', 'must', 'must', 'aim'])
    expect(judge(against([2, 3, 9], [1, 2, 3])).ratio).toEqual({ median: 2, min: 1.5, max: 3 })
  })

  it('judges the figure where there is none, and less is better where that is asked', () => {
    const target = { direction: 'at most', must: 5, aim: 2 } as const
    const verdicts = [2, 4, 6].map((value) => judge(finding({ ours: [value], target })).verdict)

    expect(verdicts).toEqual(['aim', 'must', 'short'])
  })

  it('trusts a run whose null tests hold', () => {
    expect(doubts([nullTest(0.96), against([9], [1])].map(judge))).toEqual([])
  })

  it.each([
    ['a null test that does not hold', [nullTest(1.06)], 'null is 1.060, which is not between 0.95 and 1.05'],
    ['a comparison without any', [against([9], [1])], 'no null test was run'],
    [
      'a machine that others use',
      [
        { ...nullTest(1), foreign: 0.04 },
        { ...against([9], [1]), foreign: 0.2 },
      ],
      "other processes took of the server's processor: x 20 %",
    ],
  ])('does not trust %s', (_, findings, doubt) => {
    expect(doubts(findings.map(judge))).toEqual([doubt])
  })

  it('needs no null test for figures that are compared with nothing', () => {
    expect(doubts([judge(finding({}))])).toEqual([])
  })
})
