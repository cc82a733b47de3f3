import { expect, it } from 'vitest'
import { concurrently } from '../../src/async/concurrently.ts'

it('works on so many at a time, and keeps their order', async () => {
  let running = 0
  let most = 0
  const work = async (n: number) => {
    most = Math.max(most, ++running)
    for (let turn = n % 3; turn >= 0; turn--) await Promise.resolve()
    running--
    return n * 2
  }
  const items = Array.from({ length: 20 }, (_, n) => n)
  expect(await concurrently(items, 4, work)).toEqual(items.map((n) => n * 2))
  expect(most).toBe(4)
  expect(await concurrently([], 4, work)).toEqual([])
})

it('begins nothing more after a failure', async () => {
  const begun: number[] = []
  const work = async (n: number) => {
    begun.push(n)
    if (n === 1) throw new Error('one')
  }
  await expect(concurrently([0, 1, 2, 3, 4, 5, 6, 7], 2, work)).rejects.toThrow('one')
  expect(begun.length).toBeLessThan(5)
})
