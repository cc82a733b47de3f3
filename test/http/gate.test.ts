import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { pathOf, rawPathFault } from '../../src/http/gate.ts'

describe('the gate before everything', () => {
  it.each([
    '/v2/',
    '/v2',
    '/v2/library/nginx/manifests/latest?ns=docker.io',
    '/v2/a..b/tags/list?last=x%2Fy&n=5',
    `/v2/nginx/blobs/sha256:${'a'.repeat(64)}`,
  ])('lets %s pass', (target) => {
    expect(rawPathFault(target, ['localhost'])).toBeUndefined()
  })

  it.each([
    '/v2/a%2f..%2fb/manifests/latest',
    '/v2/%2e%2e/manifests/latest',
    '/v2/a%00/manifests/latest',
    '/v2/..%2f..%2fx/manifests/latest',
    '/v2/a/../../b/manifests/latest',
    '/v2/./a/manifests/latest',
    '/v2/a/..',
    '/v2//a/manifests/latest',
    '//v2/a/manifests/latest',
    '/v2/a\\b/manifests/latest',
    '/v2/a\u0000/manifests/latest',
    '/v2/a\r\n/manifests/latest',
    '/v2/é/manifests/latest',
    '/v2/a#b/manifests/latest',
    'http://evil.example/v2/',
    '*',
    '',
    `/v2/${'a/'.repeat(600)}`,
  ])('E70, E72: stops %j', (target) => {
    expect(rawPathFault(target, ['localhost'])).toBeTypeOf('string')
  })

  it('M6: stops a request with two Hosts, and takes one without any', () => {
    expect(rawPathFault('/v2/', ['a', 'b'])).toBeTypeOf('string')
    expect(rawPathFault('/v2/')).toBeUndefined()
  })

  it('E72: what passes is what a URL parser makes of it', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'ab/.%2fe\\#?;:~é\u0000 '), maxLength: 30 }), (text) => {
        const target = `/${text}`
        if (rawPathFault(target) === undefined) {
          expect(new URL(target, 'http://x').pathname).toBe(pathOf(target))
        }
      }),
      { numRuns: 1000 },
    )
  })
})
