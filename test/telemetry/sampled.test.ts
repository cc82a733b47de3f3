import { expect, it } from 'vitest'
import { sampled } from '../../src/telemetry/sampled.ts'

it('measures once for all who ask meanwhile', async () => {
  let measured = 0
  const gate = Promise.withResolvers<number>()
  const read = sampled(() => {
    measured++
    return gate.promise
  }, 0)
  const both = Promise.all([read(), read()])
  gate.resolve(7)
  expect(await both).toEqual([7, 7])
  expect(measured).toBe(1)
})

it('gives the last sample while a new one takes long or fails', async () => {
  const answers: (() => Promise<number>)[] = [
    async () => 1,
    () => Promise.reject(new Error('no')),
    () => new Promise<number>(() => {}),
  ]
  const read = sampled(async () => answers.shift()?.() ?? 2, 0, 10)
  const seen = new Set<number>()
  while (answers.length > 0) seen.add(await read())
  expect([...seen]).toEqual([1])
})
