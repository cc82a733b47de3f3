import { describe, expect, it } from 'vitest'
import { readOptions } from '../../bench/options.ts'
import { nginxConfig } from '../../bench/servers/nginx.ts'

describe('the options of the benchmark', () => {
  const ids = ['digest-get', 'memory']

  it('are read', () => {
    expect(readOptions([], ids)).toEqual({ short: false, profile: false })
    expect(readOptions(['--short', '--only', 'memory,digest-get', '--generator', 'wrk'], ids)).toEqual({
      short: true,
      profile: false,
      only: ['memory', 'digest-get'],
      generator: 'wrk',
    })
  })

  it.each([
    [['--only', 'memory,nothing'], 'no such measure: nothing'],
    [['--generator', 'ab'], 'no such generator: ab'],
    [['--fast'], 'Unknown option'],
  ])('%j are refused', (args, why) => {
    expect(() => readOptions(args, ids)).toThrow(why)
  })
})

it('nginx has a user of its own only where somebody may give it one', () => {
  const options = { directory: '/d', port: 1, upstream: '127.0.0.1:2', workers: 1 }

  expect(nginxConfig({ ...options, user: 'root' })).toContain('user root;')
  expect(nginxConfig({ ...options, user: '' })).not.toContain('user ')
})
