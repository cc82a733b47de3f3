import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseLifecyclePolicy } from '../../src/lifecycle/policy.ts'
import { LifecyclePolicyError } from '../../src/lifecycle/policy-error.ts'
import { any, documentOf, keep, patterns, prefixes, pulled, pushed, rule, untagged } from './documents.ts'

const refused = (text: string): string => {
  try {
    parseLifecyclePolicy(text)
  } catch (error) {
    if (error instanceof LifecyclePolicyError) return error.message
    throw error
  }
  return 'taken'
}

const selecting = (selection: object) => documentOf(rule(1, selection))

describe('a lifecycle policy', () => {
  it('is read, its rules by priority', () => {
    const text = documentOf(
      rule(30, { ...any, ...pulled(90) }),
      rule(2, { ...untagged, ...keep(1), storageClass: 'standard' }, { description: 'one is enough' }),
      rule(10, { ...prefixes('prod', 'beta'), ...pushed(14) }),
      rule(11, { ...patterns('*test*1*2*3', 'v*'), ...keep(2147483647) }),
    )

    expect(parseLifecyclePolicy(text)).toEqual({
      rules: [
        {
          priority: 2,
          description: 'one is enough',
          selection: { tagStatus: 'untagged' },
          limit: { countType: 'imageCountMoreThan', count: 1 },
        },
        {
          priority: 10,
          selection: { tagStatus: 'tagged', prefixes: ['prod', 'beta'] },
          limit: { countType: 'sinceImagePushed', days: 14 },
        },
        {
          priority: 11,
          selection: { tagStatus: 'tagged', patterns: ['*test*1*2*3', 'v*'] },
          limit: { countType: 'imageCountMoreThan', count: 2147483647 },
        },
        { priority: 30, selection: { tagStatus: 'any' }, limit: { countType: 'sinceImagePulled', days: 90 } },
      ],
    })
  })

  it.each([
    ['', 'the policy is not JSON'],
    ['{"rules": [}', 'the policy is not JSON'],
    ['['.repeat(30_000), 'the policy is not JSON'],
    ['null', 'the policy is no object'],
    ['[]', 'the policy is no object'],
    [`${'['.repeat(15_000)}${']'.repeat(15_000)}`, 'the policy is no'],
    ['{"rules": [], "rules": []}', 'the policy has a key twice'],
    [`{"rules": ${documentOf()}, "\\u0072ules": []}`, 'the policy has a key twice'],
    [selecting({ ...any, ...keep(1) }).replace('"countNumber"', '"countNumber":9,"countNumber"'), 'key twice'],
    ['{}', 'rules is missing'],
    ['{"rules": {}}', 'rules is no list'],
    ['{"rules": []}', 'rules is empty'],
    ['{"rules": [[]]}', 'rules[0] is no object'],
    ['{"rules": [{"__proto__": {}}]}', 'rules[0] has __proto__, which is no member of it'],
    [JSON.stringify({ rules: [], Rules: [] }), 'the policy has Rules, which is no member of it'],
  ])('is refused, which is none: %.40s', (text, message) => {
    expect(refused(text)).toContain(message)
  })

  it.each<[string, object, string]>([
    ['nothing', {}, 'tagStatus is missing'],
    ['an unknown member', { ...any, ...keep(1), tagprefixlist: [] }, ' has tagprefixlist, which is no member of it'],
    ['a strange member', { ...any, ...keep(1), '<script>': 1 }, ' has a name, which is no member of it'],
    ['a strange status', { tagStatus: 'TAGGED', ...keep(1) }, 'tagStatus is none of tagged, untagged, any'],
    ['a status of another type', { tagStatus: ['any'], ...keep(1) }, 'tagStatus is no text'],
    ['tagged and no list', { tagStatus: 'tagged', ...keep(1) }, ' needs one of tagPrefixList and tagPatternList'],
    [
      'both lists',
      { ...prefixes('a'), ...patterns('a'), ...keep(1) },
      ' needs one of tagPrefixList and tagPatternList',
    ],
    ['a list with untagged', { ...prefixes('a'), ...untagged, ...keep(1) }, 'tagPrefixList goes with tagStatus tagged'],
    ['a list with any', { ...patterns('a'), ...any, ...keep(1) }, 'tagPatternList goes with tagStatus tagged'],
    ['an empty list with any', { ...prefixes(), ...any, ...keep(1) }, 'tagPrefixList goes with tagStatus tagged'],
    ['no prefix', { ...prefixes(), ...keep(1) }, 'tagPrefixList is empty'],
    ['no pattern', { ...patterns(), ...keep(1) }, 'tagPatternList is empty'],
    ['an empty prefix', { ...prefixes('a', ''), ...keep(1) }, 'tagPrefixList[1] is empty'],
    ['a prefix that is none', { tagStatus: 'tagged', tagPrefixList: [1], ...keep(1) }, 'tagPrefixList[0] is no text'],
    ['a list that is none', { tagStatus: 'tagged', tagPatternList: 'a*', ...keep(1) }, 'tagPatternList is no list'],
    ['null for a list', { tagStatus: 'tagged', tagPrefixList: null, ...keep(1) }, 'tagPrefixList is no list'],
    ['a long list', { ...prefixes(...Array<string>(101).fill('a')), ...keep(1) }, 'tagPrefixList has more than 100'],
    ['five wildcards', { ...patterns('a*', '*a*b*c*d*'), ...keep(1) }, 'tagPatternList[1] has more than 4 wildcards'],
    ['no count type', { ...any, countNumber: 1 }, 'countType is missing'],
    ['a strange count type', { ...any, countType: 'x', countNumber: 1 }, 'countType is none of imageCountMoreThan'],
    ['no count', { ...any, countType: 'imageCountMoreThan' }, 'countNumber is missing'],
    ['a count of none', { ...any, ...keep(0) }, 'countNumber is no whole number from 1 to 2147483647'],
    ['a negative age', { ...any, ...pushed(-1) }, 'countNumber is no whole number'],
    ['a broken count', { ...any, ...keep(1.5) }, 'countNumber is no whole number'],
    ['too large a count', { ...any, ...keep(2 ** 31) }, 'countNumber is no whole number'],
    ['a count in text', { ...any, ...keep(1), countNumber: '1' }, 'countNumber is no number'],
    ['an age without its unit', { ...any, ...pushed(1), countUnit: undefined }, 'countUnit is missing'],
    ['an age in hours', { ...any, ...pulled(1), countUnit: 'hours' }, 'countUnit is none of days'],
    ['a count in days', { ...any, ...keep(1), countUnit: 'days' }, 'countUnit does not go with imageCountMoreThan'],
    ['what is archived', { ...any, ...keep(1), storageClass: 'archive' }, 'storageClass is not standard, and no other'],
    ['null for a class', { ...any, ...keep(1), storageClass: null }, 'storageClass is not standard'],
    [
      'what was archived long ago',
      { ...any, ...pushed(1), countType: 'sinceImageTransitioned' },
      'countType is about images of another storage class, and no other storage class is supported here',
    ],
  ])('is refused with a selection of %s', (_, selection, message) => {
    const told = refused(selecting(selection))

    expect(told).toContain(message.startsWith(' ') ? `rules[0].selection${message}` : `rules[0].selection.${message}`)
  })

  it.each<[string, object, string]>([
    ['without a priority', { rulePriority: undefined }, 'rulePriority is missing'],
    ['of priority 0', { rulePriority: 0 }, 'rulePriority is no whole number from 1'],
    ['of a broken priority', { rulePriority: 1.5 }, 'rulePriority is no whole number'],
    ['with a description that is no text', { description: 1 }, 'description is no text'],
    ['without a selection', { selection: undefined }, 'selection is missing'],
    ['without an action', { action: undefined }, 'action is missing'],
    ['with an action in one word', { action: 'expire' }, 'action is no object'],
    ['with an action without a type', { action: {} }, 'action.type is missing'],
    ['with a strange action', { action: { type: 'delete' } }, 'action.type is none of expire, transition'],
    [
      'that archives',
      { action: { type: 'transition', targetStorageClass: 'archive' } },
      'action.type is not expire, and no other storage class is supported here',
    ],
    [
      'that expires into a class',
      { action: { type: 'expire', targetStorageClass: null } },
      'action.targetStorageClass',
    ],
  ])('is refused with a rule %s', (_, rest, message) => {
    const first = rule(7, { ...untagged, ...keep(1) })
    const told = refused(documentOf(first, rule(8, { ...any, ...keep(1) }, rest)))

    expect(told).toContain(`rules[1].${message}`)
  })

  it.each<[string, object[], string]>([
    [
      'of equal priority',
      [rule(1, { ...untagged, ...keep(1) }), rule(1, { ...any, ...keep(1) })],
      'rules[1].rulePriority is that of rules[0]',
    ],
    [
      'of which any is not the last',
      [
        rule(1, { ...prefixes('a'), ...keep(1) }),
        rule(3, { ...any, ...keep(1) }),
        rule(4, { ...untagged, ...keep(1) }),
      ],
      'rules[1].rulePriority is not the highest number, since tagStatus is any',
    ],
    [
      'that both select any',
      [rule(9, { ...any, ...keep(1) }), rule(8, { ...any, ...pushed(1) })],
      'rules[1].rulePriority is not the highest number',
    ],
    [
      'that both select untagged images',
      [rule(1, { ...untagged, ...keep(1) }), rule(2, { ...untagged, ...pushed(1) })],
      'rules[1].selection selects untagged images, as rules[0] does',
    ],
    [
      'of the same prefixes',
      [rule(1, { ...prefixes('a', 'b'), ...keep(1) }), rule(2, { ...prefixes('b', 'a'), ...pushed(1) })],
      'rules[1].selection.tagPrefixList is that of rules[0]',
    ],
    [
      'too many',
      Array.from({ length: 51 }, (_, index) => rule(index + 1, { ...prefixes(`${index}`), ...keep(1) })),
      'rules has more than 50 entries',
    ],
  ])('is refused with rules %s', (_, rules, message) => {
    expect(refused(documentOf(...rules))).toContain(message)
  })

  it('is taken with fifty rules, and with any among the first in the text', () => {
    const rules = Array.from({ length: 49 }, (_, index) => rule(index + 1, { ...prefixes(`${index}`), ...keep(1) }))

    expect(refused(documentOf(rule(50, { ...any, ...keep(1) }), ...rules))).toBe('taken')
  })

  it('is refused in the words of Amazon ECR, which quote nothing long', () => {
    const told = refused(selecting({ ...any, ...keep(1), ['x'.repeat(5_000)]: 'y'.repeat(5_000) }))

    expect(told).toBe('Lifecycle policy validation failure: rules[0].selection has a name, which is no member of it')
  })

  it('is taken or refused, whatever stands in it', () => {
    const value = fc.jsonValue({ maxDepth: 3 })
    const selection = fc.record(
      { tagStatus: fc.oneof(fc.constantFrom('any', 'tagged'), value), tagPrefixList: value, countNumber: value },
      { requiredKeys: [] },
    )
    const rules = fc.array(fc.oneof(value, fc.record({ rulePriority: value, selection, action: value })))
    fc.assert(
      fc.property(fc.oneof(value, fc.record({ rules })), (document) => {
        expect(refused(JSON.stringify(document)).length).toBeLessThan(250)
      }),
    )
  })
})
