import { describe, expect, it } from 'vitest'
import { readWrk } from '../../../bench/load/wrk.ts'

describe('what wrk says', () => {
  const fine = '  1 threads and 64 connections\n  120000 requests in 2.50s, 9.00MB read\nRequests/sec: 48000.00\n'

  it('is how many requests in which time', () => {
    expect(readWrk(fine)).toEqual({ requests: 120_000, seconds: 2.5 })
    expect(readWrk('600 requests in 1.00m, 1MB read')).toEqual({ requests: 600, seconds: 60 })
  })

  it.each(['Non-2xx or 3xx responses: 3', 'Socket errors: connect 0, read 5, write 0, timeout 0'])(
    'is no figure where it has %s',
    (trouble) => {
      expect(() => readWrk(`${fine}  ${trouble}\n`)).toThrow(trouble)
    },
  )
})
