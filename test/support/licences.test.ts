import { describe, expect, it } from 'vitest'
import { isPermissive, offenders } from './licences.ts'

describe('licences', () => {
  it('takes an expression whose terms can be met by permissive licences alone', () => {
    const permissive = ['MIT', '(MIT OR GPL-3.0)', 'MIT AND ISC', 'MIT OR Apache-2.0']
    const others = ['GPL-3.0', 'MIT AND AGPL-3.0-only', 'SEE LICENSE IN LICENSE', '']

    expect(permissive.filter(isPermissive)).toEqual(permissive)
    expect(others.filter(isPermissive)).toEqual([])
  })

  it('names who is not permissive, wherever it is nested', () => {
    const packages = {
      '': { license: 'Apache-2.0' },
      'node_modules/good': { license: 'MIT' },
      'node_modules/good/node_modules/@scope/bad': { license: 'AGPL-3.0-only' },
      'node_modules/silent': {},
      'node_modules/lightningcss': { license: 'MPL-2.0' },
      'node_modules/lightningcss-linux-x64-gnu': { license: 'MPL-2.0', dev: true },
    }

    expect(offenders(packages)).toEqual(['@scope/bad: AGPL-3.0-only', 'silent: none', 'lightningcss: MPL-2.0'])
  })
})
