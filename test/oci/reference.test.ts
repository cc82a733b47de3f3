import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { digestOf } from '../../src/oci/digest.ts'
import {
  isRepository,
  isTag,
  parseImageName,
  parseReference,
  referenceText,
  referrersTag,
} from '../../src/oci/reference.ts'

describe('an image as people write it', () => {
  const digest = digestOf(Buffer.from('x'))

  it.each([
    ['nginx', { name: 'nginx' }],
    ['docker.io/library/nginx:1.29', { name: 'docker.io/library/nginx', tag: '1.29' }],
    [`a/b@${digest}`, { name: 'a/b', digest }],
    [`a/b:v1@${digest}`, { name: 'a/b', tag: 'v1', digest }],
  ])('is read from %s', (text, read) => {
    expect(parseImageName(text)).toEqual(read)
  })

  it.each(['', ':', '@', 'a:', 'a:b:c', 'a@', 'a@b', 'a:b/c', 'host:5000/a', 'https://a/b', 'A', 'a b', 'a\n', 'a:-b'])(
    'is not read from %j',
    (text) => {
      expect(() => parseImageName(text)).toThrow(expect.objectContaining({ kind: 'invalid' }))
    },
  )

  it('is one name, or none', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'ab0._-/:@\u001b\n'), maxLength: 30 }), (text) => {
        try {
          const { name, tag } = parseImageName(text)
          expect(isRepository(name) && (tag === undefined || isTag(tag))).toBe(true)
        } catch (error) {
          expect(error).toMatchObject({ kind: 'invalid' })
        }
      }),
      { numRuns: 1000 },
    )
  })
})

describe('a repository', () => {
  it.each(['a', 'library/nginx', 'a.b/c_d/e__f/g-h/i--j', '0', 'a'.repeat(255)])('may be called %s', (name) => {
    expect(isRepository(name)).toBe(true)
  })

  it.each([
    '',
    'A',
    '/a',
    'a/',
    'a//b',
    '.',
    '..',
    'a/../b',
    'a.',
    '-a',
    'a___b',
    'a..b',
    'a:b',
    'a\n',
    'é',
    'a'.repeat(256),
  ])('E70: may not be called %j', (name) => {
    expect(isRepository(name)).toBe(false)
  })

  it('E70: is never a path that leads elsewhere', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'ab0._-/%\\A\u0000\n'), maxLength: 20 }), (text) => {
        if (isRepository(text)) expect(new URL(text, 'http://x/').pathname).toBe(`/${text}`)
      }),
      { numRuns: 1000 },
    )
  })

  it('is told from what is none in linear time', () => {
    const hostile = `${'a-'.repeat(127)}!`
    const started = process.cpuUsage().user
    for (let at = 0; at < 100; at++) isRepository(hostile)
    expect(process.cpuUsage().user - started).toBeLessThan(1_000_000)
  })
})

describe('a reference', () => {
  const digest = digestOf(Buffer.from('x'))

  it('is a digest where it has a colon, else a tag', () => {
    expect(parseReference('r', digest)).toEqual({ repository: 'r', digest })
    expect(parseReference('r', 'v1.0')).toEqual({ repository: 'r', tag: 'v1.0' })
    expect(referenceText(parseReference('r', digest))).toBe(digest)
  })

  it('E71: that can be neither is malformed or unknown', () => {
    expect(() => parseReference('r', 'sha256:x')).toThrow(expect.objectContaining({ code: 'DIGEST_INVALID' }))
    for (const text of ['', '.a', '-a', 'a b', 'a'.repeat(129)]) {
      expect(isTag(text)).toBe(false)
      expect(() => parseReference('r', text)).toThrow(expect.objectContaining({ code: 'MANIFEST_UNKNOWN' }))
    }
  })

  it('to referrers is a tag, for either algorithm', () => {
    expect(referrersTag(digest)).toBe(digest.replace(':', '-'))
    expect(referrersTag(digestOf(Buffer.from('x'), 'sha512'))).toMatch(/^sha512-[0-9a-f]{64}$/)
    expect(isTag(referrersTag(digest))).toBe(true)
  })
})
