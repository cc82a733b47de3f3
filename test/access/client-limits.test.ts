import { describe, expect, it } from 'vitest'
import { addressOf, ClientLimits } from '../../src/access/client-limits.ts'

function limitsAt(clock: { now: number }, more = {}) {
  return new ClientLimits({ unknownPerMinute: 2, now: () => clock.now, ...more })
}

function exhaust(limits: ClientLimits, client: string) {
  for (let at = 0; at < 2; at++) {
    limits.charge(client)
  }
}

describe('E78: the budget for questions that lead to nothing', () => {
  it('is spent by fruitless questions only', () => {
    const limits = limitsAt({ now: 0 })
    for (let at = 0; at < 10; at++) {
      limits.charge('192.0.2.1')
      limits.refund('192.0.2.1')
    }
    exhaust(limits, '192.0.2.1')
    expect(() => limits.charge('192.0.2.1')).toThrow(expect.objectContaining({ kind: 'throttled' }))
    limits.charge('192.0.2.2')
  })

  it('is spent until the answer is there, however many are asked at once', () => {
    const limits = limitsAt({ now: 0 })
    exhaust(limits, 'a')
    expect(() => limits.charge('a')).toThrow()
    limits.refund('a')
    limits.charge('a')
    expect(() => limits.charge('a')).toThrow()
  })

  it('grows back, and the refusal says when', () => {
    const clock = { now: 0 }
    const limits = limitsAt(clock)
    exhaust(limits, 'a')
    expect(() => limits.charge('a')).toThrow(expect.objectContaining({ retryAfterMs: 30_000 }))
    clock.now = 29_999
    expect(() => limits.charge('a')).toThrow()
    clock.now = 30_000
    limits.charge('a')
  })

  it('never grows beyond a minute of it', () => {
    const clock = { now: 0 }
    const limits = limitsAt(clock)
    limits.charge('a')
    clock.now = 3_600_000
    exhaust(limits, 'a')
    expect(() => limits.charge('a')).toThrow()
  })

  it('is one for all addresses of an IPv6 host', () => {
    const limits = limitsAt({ now: 0 })
    exhaust(limits, '2001:db8:0:1::1')
    expect(() => limits.charge('2001:db8::1:ffff:0:0:2')).toThrow()
    expect(() => limits.charge('2001:db8:0:1:2:3:4:5%eth0')).toThrow()
    limits.charge('2001:db8:0:2::1')
    limits.charge('::1')
  })

  it('F89: is one for an IPv4 address however it comes', () => {
    const limits = limitsAt({ now: 0 })
    exhaust(limits, '::ffff:192.0.2.1')
    expect(() => limits.charge('192.0.2.1')).toThrow()
    expect(addressOf('::FFFF:192.0.2.1')).toBe('192.0.2.1')
  })

  it('is kept for a bounded number of clients', () => {
    const limits = limitsAt({ now: 0 }, { maxClients: 1 })
    exhaust(limits, 'a')
    exhaust(limits, 'b')
    expect(() => limits.charge('b')).toThrow()
    limits.charge('a')
  })
})
