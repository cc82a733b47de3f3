import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { contentRange, lengthOf, parseRange, resolveRange } from '../../src/oci/range.ts'

describe('a Range header', () => {
  it.each([
    ['bytes=0-1', { start: 0, end: 1 }],
    ['bytes=5-', { start: 5 }],
    ['bytes=-5', { suffix: 5 }],
    [' bytes=0-0 ', { start: 0, end: 0 }],
  ])('%s is one range', (header, spec) => {
    expect(parseRange(header)).toEqual(spec)
  })

  it.each([
    undefined,
    '',
    'bytes=',
    'bytes=-',
    'bytes=a-b',
    'bytes=0-1,2-3',
    'bytes=--1',
    'items=0-1',
    `bytes=0-${'9'.repeat(16)}`,
  ])('%s asks for the whole', (header) => {
    expect(parseRange(header)).toBeUndefined()
  })

  it('of any text is the whole or made of safe counts', () => {
    const text = fc.string({ unit: fc.constantFrom(...'bytes=-0129, ') }).map((tail) => `bytes=${tail}`)
    fc.assert(
      fc.property(text, (header) => {
        for (const part of Object.values(parseRange(header) ?? {})) expect(Number.isSafeInteger(part)).toBe(true)
      }),
    )
  })
})

describe('a range against a size', () => {
  const count = fc.nat({ max: 50 })

  it('D62: holds just the bytes that a slice would, or none can be served', () => {
    const spec = fc.oneof(
      fc.record({ suffix: count }),
      fc.record({ start: count }),
      fc.record({ start: count, end: count }),
    )
    fc.assert(
      fc.property(spec, count, (asked, size) => {
        const bytes = Array.from({ length: size }, (_, at) => at)
        const wanted =
          'suffix' in asked
            ? bytes.filter((at) => at >= size - asked.suffix)
            : bytes.filter((at) => at >= asked.start && at <= ('end' in asked ? asked.end : size))
        if (wanted.length === 0) {
          expect(() => resolveRange(asked, size)).toThrow(expect.objectContaining({ kind: 'range', size }))
          return
        }
        const range = resolveRange(asked, size)
        expect(bytes.slice(range.start, range.end + 1)).toEqual(wanted)
        expect(lengthOf(range)).toBe(wanted.length)
      }),
    )
  })

  it('is written as Content-Range', () => {
    expect(contentRange({ start: 2, end: 3 }, 10)).toBe('bytes 2-3/10')
  })
})
