import { expect, it } from 'vitest'
import { Holds } from '../../src/async/holds.ts'

it('holds a thing until the last of its holders lets go', () => {
  const holds = new Holds<string>()
  const [first, second] = [holds.begin(), holds.begin()]
  for (const hold of [first, first, second]) hold.add('a')
  first.add('b')
  first[Symbol.dispose]()
  first[Symbol.dispose]()
  expect([holds.has('a'), holds.has('b'), holds.size]).toEqual([true, false, 1])
  second[Symbol.dispose]()
  expect([holds.has('a'), holds.size]).toEqual([false, 0])
})
