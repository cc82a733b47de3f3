import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseChallenges } from '../../src/upstream/challenge.ts'

const parsed = (header: string | string[]) =>
  parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)])

describe('parseChallenges', () => {
  it.each([
    [
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
      [
        [
          'bearer',
          {
            realm: 'https://auth.docker.io/token',
            service: 'registry.docker.io',
            scope: 'repository:a/b:pull,push',
          },
        ],
      ],
    ],
    ['BEARER Realm = "r" , SERVICE=s', [['bearer', { realm: 'r', service: 's' }]]],
    [
      'Basic realm="a, b=\\"c\\" \\\\", Bearer realm=x',
      [
        ['basic', { realm: 'a, b="c" \\' }],
        ['bearer', { realm: 'x' }],
      ],
    ],
    [
      'Negotiate, Basic',
      [
        ['negotiate', {}],
        ['basic', {}],
      ],
    ],
    ['Bearer realm="first",realm="second"', [['bearer', { realm: 'first' }]]],
    ['Bearer realm=""', [['bearer', { realm: '' }]]],
    [
      ['Basic realm="x"', 'Bearer realm="y"'],
      [
        ['basic', { realm: 'x' }],
        ['bearer', { realm: 'y' }],
      ],
    ],
    [
      'Bearer __proto__="x",constructor=y',
      [
        [
          'bearer',
          Object.fromEntries([
            ['__proto__', 'x'],
            ['constructor', 'y'],
          ]),
        ],
      ],
    ],
    ['  ,, Basic  ', [['basic', {}]]],
  ])('C49: reads %s', (header, challenges) => {
    expect(parsed(header)).toEqual(challenges)
  })

  it.each(['', 'realm="x"', 'Bearer realm="x', 'Bearer realm="a"b', 'Bearer @', 'Bearer realm="a\\"', 'é'])(
    'C49: gives nothing for %j',
    (header) => {
      expect(parseChallenges(header)).toEqual([])
    },
  )

  it('C49: gives nothing for more than 8 KiB', () => {
    expect(parseChallenges(`Bearer realm="${'x'.repeat(8192)}"`)).toEqual([])
  })

  it('C49: takes any text, in a time that grows with its length alone', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme' }), (text) => Array.isArray(parseChallenges(text))))
    for (const piece of ['a ', '"', '\\"', 'a="', ', ', ' = ', 'a=', '\t']) {
      const startedAt = performance.now()
      parseChallenges(`Bearer ${piece.repeat(8000 / piece.length)}`)
      expect(performance.now() - startedAt).toBeLessThan(1000)
    }
  })
})
