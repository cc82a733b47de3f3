import { expect, it } from 'vitest'
import { upstreamsOf } from '../../src/rules/mirrors.ts'
import type { Mirror } from '../../src/rules/rule.ts'
import { ruleTo } from '../support/faulty-rule.ts'

const mirror = (upstream: string, more: Partial<Mirror> = {}): Mirror => ({
  upstream,
  dialect: 'generic',
  realmHosts: [],
  ...more,
})
const credential = { username: 'u', passwordFile: 'f' }
const proxy = { url: 'http://proxy.test' }

it('asks mirrors by the proxy of the rule, unless they have a word of their own', () => {
  const mirrors = [
    mirror('https://a'),
    mirror('https://b', { proxy: 'none' }),
    mirror('https://own', { proxy: { url: 'http://other.test' } }),
  ]
  const ways = upstreamsOf(ruleTo('https://own', { credential, proxy, mirrors }))
  expect(ways.map(({ upstream, proxy, credential }) => [upstream, proxy, credential])).toEqual([
    ['https://a', proxy, undefined],
    ['https://b', 'none', undefined],
    ['https://own', { url: 'http://other.test' }, credential],
  ])
})
