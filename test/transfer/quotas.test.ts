import { expect, it } from 'vitest'
import { publish } from '../../src/telemetry/events.ts'
import { Quotas } from '../../src/transfer/quotas.ts'

it('knows what upstreams last said, for as long as they said', () => {
  const clock = { now: 0 }
  const quotas = new Quotas(() => clock.now)
  expect(quotas.of('hub')).toBeUndefined()
  publish('cistern:ratelimit', { upstream: 'hub', limit: 100, remaining: 7, windowMs: 1000 })
  publish('cistern:ratelimit', { upstream: 'quay', remaining: 3, windowMs: 10 })
  clock.now = 400
  expect([quotas.of('hub'), quotas.of('quay')]).toEqual([{ remaining: 7, leftMs: 600 }, undefined])
  publish('cistern:ratelimit', { upstream: 'hub', remaining: 6, windowMs: 1000 })
  expect(quotas.of('hub')).toEqual({ remaining: 6, leftMs: 1000 })
  publish('cistern:ratelimit', { upstream: 'hub', windowMs: 1000 })
  expect(quotas.of('hub')).toBeUndefined()
  quotas[Symbol.dispose]()
  publish('cistern:ratelimit', { upstream: 'hub', remaining: 5, windowMs: 1000 })
  expect(quotas.of('hub')).toBeUndefined()
})
