import { describe, expect, it } from 'vitest'
import { any, keep, patterns, prefixes, pulled, pushed, rule, untagged } from './documents.ts'
import { expiring, type Sketch } from './images.ts'

describe('the worked examples of the user guide', () => {
  const betas = {
    A: { tags: ['beta-1', 'prod-1'], pushed: 10 },
    B: { tags: ['beta-2', 'prod-2'], pushed: 9 },
    C: { tags: ['beta-3'], pushed: 8 },
  }

  it('several rules, A: what a first rule is about is left to it, though it still counts for others', () => {
    const rules = [rule(1, { ...prefixes('prod'), ...keep(1) }), rule(2, { ...prefixes('beta'), ...keep(1) })]
    expect(expiring(betas, ...rules)).toEqual(['A:1'])
  })

  it('several rules, B: the other way round', () => {
    const rules = [rule(1, { ...prefixes('beta'), ...keep(1) }), rule(2, { ...prefixes('prod'), ...keep(1) })]
    expect(expiring(betas, ...rules)).toEqual(['A:1', 'B:1'])
  })

  it('several prefixes, A: an image has them all', () => {
    const images = {
      A: { tags: ['alpha-1'], pushed: 12 },
      B: { tags: ['beta-1'], pushed: 11 },
      C: { tags: ['alpha-2', 'beta-2'], pushed: 10 },
      D: { tags: ['alpha-3'], pushed: 4 },
      E: { tags: ['beta-3'], pushed: 3 },
      F: { tags: ['alpha-4', 'beta-4'], pushed: 2 },
    }
    expect(expiring(images, rule(1, { ...prefixes('alpha', 'beta'), ...pushed(5) }))).toEqual(['C:1'])
  })

  it('several prefixes, B: other tags of an image do not matter', () => {
    const images = {
      A: { tags: ['alpha-1', 'beta-1', 'gamma-1'], pushed: 10 },
      B: { tags: ['alpha-2', 'beta-2'], pushed: 9 },
      C: { tags: ['alpha-3', 'beta-3', 'gamma-2'], pushed: 8 },
    }
    expect(expiring(images, rule(1, { ...prefixes('alpha', 'beta'), ...keep(1) }))).toEqual(['A:1', 'B:1'])
  })

  it('all images, A: tagged and not', () => {
    const images = {
      A: { tags: ['alpha-1'], pushed: 4 },
      B: { tags: ['beta-1'], pushed: 3 },
      C: { pushed: 2 },
      D: { tags: ['alpha-2'], pushed: 1 },
    }
    expect(expiring(images, rule(1, { ...any, ...keep(1) }))).toEqual(['A:1', 'B:1', 'C:1'])
  })

  it('all images, B: every kind of rule in one policy', () => {
    const images = {
      A: { tags: ['alpha-1', 'beta-1'], pushed: 4 },
      B: { pushed: 3 },
      C: { tags: ['alpha-2'], pushed: 2 },
      D: { tags: ['git hash'], pushed: 1.1 },
      E: { pushed: 1 },
    }
    const rules = [
      rule(1, { ...prefixes('alpha'), ...keep(1) }),
      rule(2, { ...untagged, ...pushed(1) }),
      rule(3, { ...any, ...keep(1) }),
    ]
    expect(expiring(images, ...rules)).toEqual(['A:1', 'B:2', 'D:3'])
  })
})

describe('what a rule is about', () => {
  const tagged = (...tags: string[]) => ({ only: { tags, pushed: 9 } })

  it.each<[string, string, boolean]>([
    ['prod*', 'prod', true],
    ['prod*', 'production-team1', true],
    ['prod*', 'repo-prod', false],
    ['*prod*', 'repo-production', true],
    ['prod', 'prod', true],
    ['prod', 'prod1', false],
    ['*', 'x', true],
    ['**', 'x', true],
    ['a*a', 'a', false],
    ['a*a', 'aa', true],
    ['ab*bc', 'abc', false],
    ['*a*b', 'xaybzb', true],
    ['a*b*c', 'acb', false],
    ['v*.*.*', 'v1.2.3', true],
    ['v*.*.*', 'v1.2', false],
    ['v?', 'v1', false],
    ['v.1', 'v-1', false],
    ['V*', 'v1', false],
  ])('tags of the pattern %s: %s is %s', (pattern, tag, wanted) => {
    expect(expiring(tagged(tag), rule(1, { ...patterns(pattern), ...pushed(1) }))).toEqual(wanted ? ['only:1'] : [])
  })

  it('tags of every pattern of a list, each by any tag', () => {
    const rules = [rule(1, { ...patterns('*-amd64', 'v*'), ...pushed(1) })]
    expect(expiring(tagged('x-amd64', 'v1'), ...rules)).toEqual(['only:1'])
    expect(expiring(tagged('v1-amd64'), ...rules)).toEqual(['only:1'])
    expect(expiring(tagged('v1', 'v2'), ...rules)).toEqual([])
  })

  it('a prefix as it stands, an asterisk in it too', () => {
    expect(expiring(tagged('prod'), rule(1, { ...prefixes('pro*'), ...pushed(1) }))).toEqual([])
    expect(expiring({ only: { pushed: 9 } }, rule(1, { ...prefixes('a'), ...pushed(1) }))).toEqual([])
  })
})

describe('what has been there too long', () => {
  it('is older than the days that are counted, not as old', () => {
    const images = { exact: { pushed: 7 }, older: { pushed: 7 + 1e-7 }, younger: { pushed: 6 }, future: { pushed: -1 } }
    expect(expiring(images, rule(1, { ...any, ...pushed(7) }))).toEqual(['older:1'])
  })

  it('was not pulled in time, or never pulled nor pushed in time', () => {
    const images = {
      used: { pushed: 100, pulled: 2 },
      unused: { pushed: 90, pulled: 31 },
      never: { pushed: 80 },
      fresh: { pushed: 3 },
    }
    expect(expiring(images, rule(1, { ...any, ...pulled(30) }))).toEqual(['unused:1', 'never:1'])
  })

  it('was pushed long ago, however lately it was pulled', () => {
    expect(expiring({ used: { pushed: 100, pulled: 0 } }, rule(1, { ...any, ...pushed(30) }))).toEqual(['used:1'])
  })
})

describe('what a first rule is about and keeps', () => {
  it('is left alone by all others', () => {
    const images = { prod: { tags: ['prod'], pushed: 900 }, old: { tags: ['x'], pushed: 90 }, new: { pushed: 1 } }
    const rules = [rule(5, { ...prefixes('prod'), ...pushed(1000) }), rule(9, { ...any, ...pushed(30) })]
    expect(expiring(images, ...rules)).toEqual(['old:9'])
  })

  it('is told by the first of two rules that would take it', () => {
    const images = { both: { tags: ['a', 'b'], pushed: 9 } }
    const rules = [rule(2, { ...prefixes('a'), ...pushed(1) }), rule(1, { ...prefixes('b'), ...pushed(1) })]
    expect(expiring(images, ...rules)).toEqual(['both:1'])
  })
})

describe('an index and what it lists', () => {
  const index = { tags: ['v1'], pushed: 10, lists: ['amd', 'arm', 'elsewhere'] }

  it('stay together as long as the index does', () => {
    const images = { index, amd: { pushed: 50 }, arm: { pushed: 40 }, stray: { pushed: 30 } }
    expect(expiring(images, rule(1, { ...untagged, ...pushed(1) }))).toEqual(['stray:1'])
  })

  it('go together where rules take both', () => {
    const images = { index, amd: { pushed: 50 }, arm: { pushed: 2 } }
    const rules = [rule(1, { ...untagged, ...pushed(5) }), rule(2, { ...prefixes('v'), ...pushed(5) })]
    expect(expiring(images, ...rules)).toEqual(['amd:1', 'index:2'])
  })

  it('are one in a count, in whichever order they came', () => {
    const images: Record<string, Sketch> = {
      i1: { tags: ['1'], pushed: 9, lists: ['c1', 'd1'] },
      c1: { pushed: 10 },
      d1: { pushed: 0 },
      i2: { tags: ['2'], pushed: 5, lists: ['c2'] },
      c2: { pushed: 4 },
      i3: { tags: ['3'], pushed: 3, lists: ['c3'] },
      c3: { pushed: 3 },
    }
    expect(expiring(images, rule(1, { ...any, ...keep(2) }))).toEqual(['c1:1', 'i1:1', 'd1:1'])
    expect(expiring(images, rule(1, { ...any, ...keep(3) }))).toEqual([])
    expect(expiring(images, rule(1, { ...untagged, ...keep(1) }))).toEqual([])
  })

  it('are one in a count, though all came at once', () => {
    const groups = ['r', 's', 't', 'u'].map((name) => [name, `${name}1`, `${name}2`, `${name}3`])
    const images = groups.flatMap(([name = '', ...lists]) => [
      [name, { tags: [name], lists }] as const,
      ...lists.map((part) => [part, {}] as const),
    ])
    const gone = expiring(Object.fromEntries(images), rule(1, { ...any, ...keep(1) }))

    const whole = groups.filter(([name]) => gone.includes(`${name}:1`)).flat()
    expect(gone.sort()).toEqual(whole.map((name) => `${name}:1`).sort())
    expect(gone).toHaveLength(12)
  })

  it('count by themselves where they have a tag', () => {
    const images = {
      index: { tags: ['v1'], pushed: 1, lists: ['amd'] },
      amd: { tags: ['v1-amd64'], pushed: 2 },
      old: { tags: ['v0'], pushed: 3 },
    }
    expect(expiring(images, rule(1, { ...patterns('v*'), ...keep(2) }))).toEqual(['old:1'])
    expect(expiring(images, rule(1, { ...patterns('v*'), ...keep(1) }))).toEqual(['old:1'])
  })

  it('stay with another index that lists them, also through a third', () => {
    const images = {
      gone: { pushed: 9, lists: ['shared', 'own'] },
      kept: { tags: ['x'], pushed: 9, lists: ['inner'] },
      inner: { pushed: 9, lists: ['shared'] },
      shared: { pushed: 9 },
      own: { pushed: 8 },
    }
    expect(expiring(images, rule(1, { ...untagged, ...pushed(1) }))).toEqual(['gone:1', 'own:1'])
  })
})

describe('a referrer', () => {
  it('goes with its subject, and what refers to it too', () => {
    const images = {
      subject: { tags: ['v1'], pushed: 9 },
      sbom: { pushed: 5, subject: 'subject' },
      signature: { tags: ['keep'], pushed: 1, subject: 'sbom' },
    }
    const rules = [rule(1, { ...prefixes('keep'), ...pushed(100) }), rule(4, { ...prefixes('v'), ...pushed(7) })]
    expect(expiring(images, ...rules)).toEqual(['subject:4', 'sbom:4', 'signature:4'])
  })

  it('is never taken by itself and does not count', () => {
    const images = {
      subject: { tags: ['v1'], pushed: 9 },
      signature: { pushed: 1, subject: 'subject' },
      other: { pushed: 10 },
    }
    expect(expiring(images, rule(1, { ...untagged, ...pushed(0.5 + 0.5) }))).toEqual(['other:1'])
    expect(expiring(images, rule(1, { ...any, ...keep(2) }))).toEqual([])
    expect(expiring(images, rule(1, { ...any, ...keep(1) }))).toEqual(['other:1'])
  })

  it('stays with an index that lists it, and keeps what it lists itself', () => {
    const images = {
      index: { tags: ['v1'], pushed: 1, lists: ['bundle'] },
      subject: { pushed: 9 },
      bundle: { pushed: 9, subject: 'subject', lists: ['part'] },
      part: { pushed: 9 },
    }
    expect(expiring(images, rule(1, { ...untagged, ...pushed(1) }))).toEqual(['subject:1'])
  })

  it('is an image like others where its subject is not', () => {
    const images = { sbom: { pushed: 9, subject: 'gone' }, index: { tags: ['v1'], lists: ['gone'] } }
    expect(expiring(images, rule(1, { ...untagged, ...pushed(1) }))).toEqual(['sbom:1'])
  })

  it('of itself stays, and so does an index that lists itself until it is taken', () => {
    const images = {
      knot: { pushed: 9, subject: 'knot' },
      one: { pushed: 9, subject: 'two' },
      two: { pushed: 9, subject: 'one' },
      loop: { pushed: 9, lists: ['loop'] },
    }
    expect(expiring(images, rule(1, { ...any, ...pushed(1) }))).toEqual(['loop:1'])
    expect(expiring(images, rule(1, { ...any, ...keep(1) }))).toEqual([])
  })
})

describe('an image that is pinned', () => {
  it('stays with all that belongs to it, whatever a policy says', () => {
    const images: Record<string, Sketch> = {
      index: { tags: ['v1'], pushed: 9, lists: ['part'], pinned: true },
      part: { pushed: 9 },
      signature: { pushed: 9, subject: 'index' },
      other: { tags: ['v2'], pushed: 9 },
    }
    expect(expiring(images, rule(1, { ...any, ...pushed(1) }))).toEqual(['other:1'])
  })

  it('counts like others', () => {
    const images: Record<string, Sketch> = {
      pinned: { tags: ['v1'], pushed: 1, pinned: true },
      old: { tags: ['v2'], pushed: 2 },
    }
    expect(expiring(images, rule(1, { ...any, ...keep(1) }))).toEqual(['old:1'])
  })
})
