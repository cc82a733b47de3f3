import { describe, expect, it } from 'vitest'
import {
  assertAllowed,
  canonicalRepository,
  localRepository,
  matches,
  type Rule,
  tagTtlMs,
  upstreamHost,
  upstreamNameOf,
  upstreamRepository,
} from '../../src/rules/rule.ts'

const rule: Rule = {
  prefix: 'hub',
  source: 'file',
  upstream: 'https://registry-1.docker.io',
  upstreamRepositoryPrefix: 'ROOT',
  realmHosts: [],
  dialect: 'docker-hub',
  tagTtl: [],
  negativeTtlMs: 0,
  onUnknownTag: 'unknown',
  repositories: { allow: [], deny: [] },
}

describe('names under a rule', () => {
  it('give an official image of Docker Hub one spelling', () => {
    expect(canonicalRepository(rule, 'nginx')).toBe('library/nginx')
    expect(canonicalRepository(rule, 'library/nginx')).toBe('library/nginx')
    expect(canonicalRepository({ ...rule, dialect: 'generic' }, 'nginx')).toBe('nginx')
    expect(canonicalRepository({ ...rule, upstreamRepositoryPrefix: 'library' }, 'nginx')).toBe('nginx')
  })

  it('differ here and upstream by their prefixes, and lead back', () => {
    const team = { ...rule, dialect: 'generic', prefix: 'a/b', upstreamRepositoryPrefix: 'x/y' } as const
    expect(localRepository(team, 'app')).toBe('a/b/app')
    expect(upstreamRepository(team, 'app')).toBe('x/y/app')
    expect(upstreamNameOf(team, 'a/b/app')).toBe('x/y/app')
    const root = { ...team, prefix: 'ROOT', upstreamRepositoryPrefix: 'ROOT' }
    expect(localRepository(root, 'app')).toBe('app')
    expect(upstreamNameOf(root, 'app')).toBe('app')
  })

  it('name the upstream with its port', () => {
    expect(upstreamHost({ ...rule, upstream: 'http://h:5000' })).toBe('h:5000')
    expect(upstreamHost({ ...rule, upstream: 'https://h' })).toBe('h')
  })
})

describe('patterns', () => {
  it.each([
    ['*', '', true],
    ['v*', 'v1.2', true],
    ['v*', 'w1', false],
    ['*-rc*', '1.0-rc2', true],
    ['a*a', 'a', false],
    ['a*b*c', 'abc', true],
    ['a*bb*b', 'abb', false],
    ['team/*', 'team/a/b', true],
    ['team/*', 'team', false],
    ['latest', 'latest', true],
    ['latest', 'latest2', false],
    ['1.0', '1x0', false],
  ])('%s on %j: %s', (pattern, text, expected) => {
    expect(matches(pattern, text)).toBe(expected)
  })

  it('take linear time', () => {
    expect(matches('*a'.repeat(50), 'b'.repeat(100_000))).toBe(false)
  })

  it('decide on tags by the first that matches', () => {
    const tagTtl = [
      { pattern: 'v*', ttlMs: 1 },
      { pattern: '*', ttlMs: 2 },
      { pattern: 'latest', ttlMs: 3 },
    ]
    expect(['v1', 'latest'].map((tag) => tagTtlMs({ ...rule, tagTtl }, tag))).toEqual([1, 2])
    expect(tagTtlMs(rule, 'latest')).toBe(0)
  })

  it('allow and deny repositories, deny first, without telling what exists', () => {
    const keptOut = (allow: string[], deny: string[], name: string) => {
      try {
        assertAllowed({ ...rule, repositories: { allow, deny } }, name)
        return false
      } catch (error) {
        expect(error).toMatchObject({ kind: 'unknown', code: 'NAME_UNKNOWN' })
        return true
      }
    }
    expect(keptOut([], [], 'a/b')).toBe(false)
    expect(keptOut(['a/*'], [], 'a/b')).toBe(false)
    expect(keptOut(['a/*'], [], 'b/b')).toBe(true)
    expect(keptOut(['a/*'], ['a/b'], 'a/b')).toBe(true)
    expect(keptOut([], ['*'], 'a/b')).toBe(true)
  })
})
