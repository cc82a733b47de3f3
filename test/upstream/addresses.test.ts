import { describe, expect, it } from 'vitest'
import { assertPublicLiteral, isPublicAddress, lookUpPublic } from '../../src/upstream/addresses.ts'

describe('isPublicAddress', () => {
  it.each(['1.1.1.1', '93.184.216.34', '2606:4700::1111', '::ffff:1.1.1.1', '64:ff9b::101:101'])(
    'A22: %s is',
    (text) => {
      expect(isPublicAddress(text)).toBe(true)
    },
  )

  it.each([
    '127.0.0.1',
    '10.1.2.3',
    '172.16.0.1',
    '192.168.0.1',
    '169.254.169.254',
    '100.64.0.1',
    '0.0.0.0',
    '192.0.2.1',
    '198.18.0.1',
    '224.0.0.1',
    '240.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    'fe80::1',
    'fd12::1',
    'ff02::1',
    '::ffff:127.0.0.1',
    '::ffff:a9fe:a9fe',
    '64:ff9b::7f00:1',
    '2002:7f00:1::',
    '2001:db8::1',
    'localhost',
    '',
  ])('A22: %j is not', (text) => {
    expect(isPublicAddress(text)).toBe(false)
  })
})

describe('hosts', () => {
  it('A22: written as an address are judged before they are connected to, names are not', () => {
    expect(() => assertPublicLiteral('[::1]')).toThrow('an address that is not public')
    expect(() => assertPublicLiteral('10.0.0.1')).toThrow('an address that is not public')
    expect(() => assertPublicLiteral('localhost')).not.toThrow()
    expect(() => assertPublicLiteral('1.1.1.1')).not.toThrow()
  })

  it.each([true, false])('A22: whose name leads to private addresses are not looked up, all: %s', async (all) => {
    const error = await new Promise((resolve) => lookUpPublic('localhost', { all }, (error) => resolve(error)))
    expect(error).toMatchObject({ kind: 'unavailable' })
  })

  it('give the addresses in the form that was asked for', async () => {
    const one = new Promise((resolve) => lookUpPublic('1.1.1.1', {}, (...answer) => resolve(answer)))
    expect(await one).toEqual([null, '1.1.1.1', 4])
    const all = new Promise((resolve) => lookUpPublic('1.1.1.1', { all: true }, (...answer) => resolve(answer)))
    expect(await all).toEqual([null, [{ address: '1.1.1.1', family: 4 }]])
  })
})
