import { expect, it } from 'vitest'
import { alternate, counterbalanced, type Side } from '../../bench/rounds.ts'

it('has each side first as often as second', () => {
  expect(counterbalanced(3)).toEqual(['ours', 'peer', 'peer', 'ours', 'ours', 'peer'])
})

it('runs one after the other, and pairs what belongs to a round', async () => {
  const running = new Set<string>()
  const started: [Side, number][] = []
  const found = await alternate(2, async (side, round) => {
    started.push([side, round])
    expect(running.size).toBe(0)
    running.add(side)
    await new Promise(setImmediate)
    running.delete(side)
    return `${side} ${round}`
  })

  expect(started).toEqual([
    ['ours', 0],
    ['peer', 0],
    ['peer', 1],
    ['ours', 1],
  ])
  expect(found).toEqual({ ours: ['ours 0', 'ours 1'], peer: ['peer 0', 'peer 1'] })
})
