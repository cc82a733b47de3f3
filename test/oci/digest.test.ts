import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { algorithmOf, Digester, digestOf, hexOf, isDigest, parseDigest } from '../../src/oci/digest.ts'

const empty = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

describe('a digest', () => {
  it('is of known algorithms in lower-case hex of the right length', () => {
    expect(parseDigest(empty)).toBe(empty)
    expect(parseDigest(`sha512:${'0'.repeat(128)}`)).toBeTypeOf('string')
  })

  it.each([
    empty.slice(0, -1),
    `${empty}0`,
    empty.toUpperCase(),
    empty.replace(':', '-'),
    `md5:${'0'.repeat(32)}`,
    `sha512:${'0'.repeat(64)}`,
    'sha256:../../../../etc/passwd',
    `${empty}\n`,
    '',
  ])('E71: %j is none', (text) => {
    expect(isDigest(text)).toBe(false)
    expect(() => parseDigest(text)).toThrow(expect.objectContaining({ kind: 'invalid', code: 'DIGEST_INVALID' }))
  })

  it('is the same in one piece and in many', () => {
    expect(digestOf(Buffer.alloc(0))).toBe(empty)
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array()),
        fc.constantFrom('sha256' as const, 'sha512' as const),
        (chunks, algorithm) => {
          const digester = new Digester(algorithm)
          for (const chunk of chunks) digester.update(chunk)
          const digest = digester.finish()
          expect(digest).toBe(digestOf(Buffer.concat(chunks), algorithm))
          expect(`${algorithmOf(digest)}:${hexOf(digest)}`).toBe(digest)
        },
      ),
    )
  })
})
