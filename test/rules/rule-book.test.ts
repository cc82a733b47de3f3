import { describe, expect, it } from 'vitest'
import { builtInRules } from '../../src/rules/built-in.ts'
import type { Rule } from '../../src/rules/rule.ts'
import { RuleBook } from '../../src/rules/rule-book.ts'

const rule = (prefix: string, upstream = `https://${prefix}.example.com`): Rule => ({
  prefix,
  source: 'file',
  upstream,
  upstreamRepositoryPrefix: 'ROOT',
  realmHosts: [],
  dialect: 'generic',
  tagTtl: [],
  negativeTtlMs: 0,
  onUnknownTag: 'unknown',
  repositories: { allow: [], deny: [] },
})

const hub = rule('docker.io', 'https://registry-1.docker.io')

describe('RuleBook', () => {
  it('takes the longest prefix on whole segments', () => {
    const book = new RuleBook([rule('a'), rule('a/b'), rule('a/b/c/d')])
    const found = (path: string) => {
      const { rule, rest } = book.longestPrefix(path) ?? {}
      return rule && [rule.prefix, rest]
    }
    expect(found('a/x')).toEqual(['a', 'x'])
    expect(found('a/b/c')).toEqual(['a/b', 'c'])
    expect(found('a/b/c/d/e/f')).toEqual(['a/b/c/d', 'e/f'])
    expect(found('a/b/c/d')).toEqual(['a/b', 'c/d'])
    expect(found('a/bc')).toEqual(['a', 'bc'])
    expect(found('ab/c')).toBeUndefined()
    expect(found('a')).toBeUndefined()
    expect(found('a/')).toBeUndefined()
    expect(found('/a/b')).toBeUndefined()
  })

  it('never takes the ROOT rule for a prefix', () => {
    const book = new RuleBook([rule('ROOT', 'https://r.example.com')])
    expect(book.longestPrefix('ROOT/a')).toBeUndefined()
    expect(book.get('ROOT')).toBeUndefined()
    expect(book.byNamespace('ROOT')).toBeUndefined()
    expect(book.byNamespace('r.example.com')?.prefix).toBe('ROOT')
  })

  it.each(['docker.io', 'index.docker.io', 'registry-1.docker.io'])('knows Docker Hub as %s', (name) => {
    const book = new RuleBook([hub])
    expect(book.get(name)).toBe(hub)
    expect(book.byNamespace(name)).toBe(hub)
    expect(book.longestPrefix(`${name}/library/nginx`)).toEqual({ rule: hub, rest: 'library/nginx' })
    expect(new RuleBook([rule('hub', 'https://registry-1.docker.io')]).byNamespace(name)?.prefix).toBe('hub')
  })

  it('lets a rule have a name of Docker Hub for itself', () => {
    const own = rule('index.docker.io')
    expect(new RuleBook([hub, own]).get('index.docker.io')).toBe(own)
  })

  it('finds a namespace by upstream only where exactly one rule leads there', () => {
    const book = new RuleBook([rule('a', 'https://h:5000'), rule('b', 'https://i'), rule('c', 'https://i')])
    expect(book.byNamespace('h:5000')?.prefix).toBe('a')
    expect(book.byNamespace('h')).toBeUndefined()
    expect(book.byNamespace('i')).toBeUndefined()
    expect(book.byNamespace('unknown.example.com')).toBeUndefined()
  })

  it('puts a ROOT rule in the place of the default upstream, and a default without a rule off', () => {
    const root = rule('ROOT')
    expect(new RuleBook([hub], 'docker.io').root).toBe(hub)
    expect(new RuleBook([hub, root], 'docker.io').root).toBe(root)
    expect(new RuleBook([hub]).root).toBeUndefined()
    expect(new RuleBook([], 'docker.io').root).toBeUndefined()
  })

  it("knows whose a name of ours is: without a prefix it is nobody's but ROOT's", () => {
    const root = rule('ROOT')
    expect(new RuleBook([hub], 'docker.io').ruleOf('docker.io/library/nginx')).toBe(hub)
    expect(new RuleBook([hub], 'docker.io').ruleOf('nginx')).toBeUndefined()
    expect(new RuleBook([hub, root], 'docker.io').ruleOf('nginx')).toBe(root)
  })

  it('puts other rules in force all at once', () => {
    const book = new RuleBook([rule('a'), rule('b')], 'a')
    const later = rule('b', 'https://later.example.com')
    book.replace([later])
    expect(book.list()).toEqual([later])
    expect(book.get('a')).toBeUndefined()
    expect(book.root).toBeUndefined()
  })

  it('lets the last of several rules with one prefix count', () => {
    const later = rule('quay.io', 'https://mirror.example.com')
    expect(new RuleBook([...builtInRules, later]).get('quay.io')).toBe(later)
  })

  it('is quick with a path of nothing but slashes', () => {
    expect(new RuleBook(builtInRules).longestPrefix('a/'.repeat(1_000_000))).toBeUndefined()
  })
})

describe('the built-in rules', () => {
  it('are the ten public registries, anonymous', () => {
    expect(builtInRules.map(({ prefix, upstream, dialect }) => [prefix, upstream, dialect])).toEqual([
      ['docker.io', 'https://registry-1.docker.io', 'docker-hub'],
      ['ghcr.io', 'https://ghcr.io', 'ghcr'],
      ['quay.io', 'https://quay.io', 'quay'],
      ['registry.k8s.io', 'https://registry.k8s.io', 'generic'],
      ['public.ecr.aws', 'https://public.ecr.aws', 'ecr-public'],
      ['mcr.microsoft.com', 'https://mcr.microsoft.com', 'generic'],
      ['gcr.io', 'https://gcr.io', 'gcr'],
      ['registry.gitlab.com', 'https://registry.gitlab.com', 'gitlab'],
      ['cgr.dev', 'https://cgr.dev', 'generic'],
      ['nvcr.io', 'https://nvcr.io', 'nvcr'],
    ])
    expect(builtInRules.some(({ credential }) => credential)).toBe(false)
  })
})
