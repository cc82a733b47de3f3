import { createHmac, generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { exportJWK, type JWTHeaderParameters, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { AccessKey } from '../../src/access/access-key.ts'
import { parseBasic } from '../../src/access/basic.ts'
import { Tokens } from '../../src/access/tokens.ts'

const key: AccessKey = { id: 'AKIAALICE', secret: 'secret-canary-0123', user: 'alice', policies: [], references: [] }
const hourMs = 3_600_000
const registryId = '111122223333'

let dataDir: string
let now: number
let keys: Map<string, AccessKey>

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'cistern-tokens-'))
  now = 1_700_000_000_000
  keys = new Map([[key.id, key]])
})

afterEach(() => rmSync(dataDir, { recursive: true, force: true }))

const open = (more: { registryId?: string } = {}) =>
  Tokens.open({ dataDir, registryId, keys, clock: () => now, ...more })

describe('a token', () => {
  it('is a password of AWS for twelve hours, without a colon', async () => {
    const tokens = await open()
    const { password, authorizationToken, expiresAt } = await tokens.issue(key)

    expect(password).toMatch(/^[\w.-]+$/)
    expect(parseBasic(`Basic ${authorizationToken}`)).toEqual({ username: 'AWS', password })
    expect(expiresAt - now).toBe(12 * hourMs)
    expect(await tokens.verify(password)).toEqual({ state: 'valid', key, expiresAt })
    expect(Buffer.from(password.split('.')[1] ?? '', 'base64url').toString()).not.toContain('canary')
  })

  it('expires, and says so', async () => {
    const tokens = await open()
    const { password, expiresAt } = await tokens.issue(key)
    now = expiresAt - 1000
    expect(await tokens.verify(password)).toMatchObject({ state: 'valid' })
    now = expiresAt
    expect(await tokens.verify(password)).toEqual({ state: 'expired' })
  })

  it('outlives a restart, and a clock that is set back', async () => {
    const { password } = await (await open()).issue(key)
    now -= 60_000
    expect(await (await open()).verify(password)).toMatchObject({ state: 'valid', key })
  })

  it('F86: is refused once its key is removed', async () => {
    const tokens = await open()
    const { password } = await tokens.issue(key)
    keys.delete(key.id)
    expect(await tokens.verify(password)).toEqual({ state: 'invalid' })
  })

  it('F86: is refused once its key has another secret, and comes back with none', async () => {
    const tokens = await open()
    const { password } = await tokens.issue(key)
    keys.set(key.id, { ...key, secret: 'another-secret-0123' })
    expect(await tokens.verify(password)).toEqual({ state: 'invalid' })
  })

  it('has the rights that its key has now', async () => {
    const tokens = await open()
    const { password } = await tokens.issue(key)
    const changed = { ...key, user: 'bob' }
    keys.set(key.id, changed)
    expect(await tokens.verify(password)).toMatchObject({ key: changed })
  })
})

describe('the signing key', () => {
  it('is read by nobody else', async () => {
    await open()
    expect(statSync(join(dataDir, 'token-key')).mode & 0o777).toBe(0o600)
    expect(readFileSync(join(dataDir, 'token-key'))).toHaveLength(32)
  })

  it.each(['', 'short', 'x'.repeat(33)])('is not taken from a damaged file: %j', async (content) => {
    writeFileSync(join(dataDir, 'token-key'), content)
    await expect(open()).rejects.toThrow('token-key does not hold 32 bytes')
  })
})

describe('F88: a forged token', () => {
  const header: JWTHeaderParameters = { alg: 'HS256', typ: 'cistern-login+jwt' }
  const stateOf = async (password: string) => (await (await open()).verify(password)).state

  /** What a true token says, and the key that it is signed with. */
  async function genuine(): Promise<{ claims: JWTPayload; secret: Buffer; password: string }> {
    const { password } = await (await open()).issue(key)
    const claims = JSON.parse(Buffer.from(password.split('.')[1] ?? '', 'base64url').toString())
    return { claims, secret: readFileSync(join(dataDir, 'token-key')), password }
  }

  it('is told from a true one by nothing but what follows', async () => {
    const { claims, secret } = await genuine()
    expect(await stateOf(await new SignJWT(claims).setProtectedHeader(header).sign(secret))).toBe('valid')
  })

  it('is refused unsigned', async () => {
    const { claims, password } = await genuine()
    const [, payload] = password.split('.')
    const none = Buffer.from('{"alg":"none","typ":"cistern-login+jwt"}').toString('base64url')
    expect(await stateOf(new UnsecuredJWT(claims).encode())).toBe('invalid')
    expect(await stateOf(`${none}.${payload}.`)).toBe('invalid')
    expect(await stateOf(`${password.slice(0, password.lastIndexOf('.'))}.`)).toBe('invalid')
  })

  it('is refused with a key of its own, wherever the header says it is', async () => {
    const { claims } = await genuine()
    const own = Buffer.alloc(32, 7)
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const jwk = await exportJWK(rsa.publicKey)
    const tricks: JWTHeaderParameters[] = [
      header,
      { ...header, jwk: { kty: 'oct', ...{ k: own.toString('base64url') } } },
      { ...header, jku: 'http://127.0.0.1:1/keys' },
      { ...header, kid: '../../dev/null' },
      { ...header, x5u: 'http://127.0.0.1:1/certificate' },
    ]
    for (const trick of tricks) {
      expect(await stateOf(await new SignJWT(claims).setProtectedHeader(trick).sign(own))).toBe('invalid')
    }
    for (const trick of [
      { ...header, alg: 'RS256' },
      { ...header, alg: 'PS256', jwk },
    ]) {
      expect(await stateOf(await new SignJWT(claims).setProtectedHeader(trick).sign(rsa.privateKey))).toBe('invalid')
    }
    const [head, payload] = ['{"alg":"HS256","typ":"cistern-login+jwt"}', JSON.stringify(claims)].map((part) =>
      Buffer.from(part).toString('base64url'),
    )
    const pem = rsa.publicKey.export({ type: 'spki', format: 'pem' })
    for (const guess of ['', '\0'.repeat(32), pem, key.secret, key.id]) {
      const signature = createHmac('sha256', guess).update(`${head}.${payload}`).digest('base64url')
      expect(await stateOf(`${head}.${payload}.${signature}`)).toBe('invalid')
    }
  })

  it('is refused with another algorithm or type, though signed with the key', async () => {
    const { claims, secret } = await genuine()
    for (const alg of ['HS512', 'HS384']) {
      const parts = [{ ...header, alg }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      const signature = createHmac(alg.replace('HS', 'sha'), secret).update(parts.join('.')).digest('base64url')
      expect(await stateOf([...parts, signature].join('.'))).toBe('invalid')
    }
    for (const typ of ['JWT', 'at+jwt', '']) {
      expect(await stateOf(await new SignJWT(claims).setProtectedHeader({ ...header, typ }).sign(secret))).toBe(
        'invalid',
      )
    }
  })

  it.each<[string, Record<string, unknown>]>([
    ['another issuer', { iss: 'cistern:999999999999' }],
    ['another audience', { aud: 'sts' }],
    ['no issuer', { iss: undefined }],
    ['no audience', { aud: undefined }],
    ['no subject', { sub: undefined }],
    ['no end', { exp: undefined }],
    ['no mark of its key', { key: undefined }],
    ['another mark', { key: 'x' }],
    ['another subject', { sub: 'AKIABOB' }],
    ['a time before which it is not good', { nbf: 1_800_000_000 }],
  ])('is refused with %s, though signed with the key', async (_, change) => {
    keys.set('AKIABOB', { ...key, id: 'AKIABOB' })
    const { claims, secret } = await genuine()
    const changed: JWTPayload = JSON.parse(JSON.stringify({ ...claims, ...change }))
    const forged = await new SignJWT(changed).setProtectedHeader(header).sign(secret)
    expect(await stateOf(forged)).toBe('invalid')
  })

  it('is refused from another registry with the same key', async () => {
    const { password } = await (await open({ registryId: '999999999999' })).issue(key)
    expect(await stateOf(password)).toBe('invalid')
  })

  it('is refused, and not called expired, where it is forged and old', async () => {
    const { claims } = await genuine()
    const old = new SignJWT({ ...claims, exp: 1 }).setProtectedHeader(header)
    expect(await stateOf(await old.sign(Buffer.alloc(32)))).toBe('invalid')
  })

  it('is refused with a blank in it', async () => {
    const { password } = await genuine()
    for (const blank of [' ', '\n', '\t', '=']) {
      expect(await stateOf(password + blank)).toBe('invalid')
      expect(await stateOf(`${password.slice(0, -4)}${blank}${password.slice(-4)}`)).toBe('invalid')
    }
  })

  it('is refused whatever it is', async () => {
    const { password } = await genuine()
    const tokens = await open()
    const changed = fc
      .tuple(fc.nat(password.length - 2), fc.string({ minLength: 1 })) // of the last letter some bits mean nothing
      .map(([at, text]) => password.slice(0, at) + text + password.slice(at + 1))
      .filter((text) => text !== password)
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string(), changed), async (text) => {
        expect(await tokens.verify(text)).toEqual({ state: 'invalid' })
      }),
    )
    expect(await tokens.verify('x'.repeat(1_000_000))).toEqual({ state: 'invalid' })
  })
})

describe('Basic credentials', () => {
  const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`

  it.each([
    [basic('AWS:abc'), 'AWS', 'abc'],
    [basic('a:b:c'), 'a', 'b:c'],
    [basic(':'), '', ''],
    [basic('jürg:pässwörd'), 'jürg', 'pässwörd'],
    [basic('a:b').replace('Basic', 'bASIC'), 'a', 'b'],
    [basic('a:bc').replace(/=+$/, ''), 'a', 'bc'],
  ])('are read from %s', (header, username, password) => {
    expect(parseBasic(header)).toEqual({ username, password })
  })

  it.each([
    undefined,
    '',
    'Basic',
    'Basic ',
    'Bearer QTpi',
    'Basically QTpi',
    'QTpi',
    'Basic QTpi QTpi',
    'Basic QTpi, Basic QTpi',
    'Basic QT*pi',
    'Basic QTpj=',
    'Basic QTp=',
    'Basic QTpiYx==',
    'Basic _-_-',
    basic('nocolon'),
    `Basic ${Buffer.from([0x61, 0x3a, 0xff]).toString('base64')}`,
    basic(`a:${'b'.repeat(8192)}`),
  ])('are not read from %s', (header) => {
    expect(parseBasic(header)).toBeUndefined()
  })

  it('are read back as they were written', () => {
    const name = fc.string({ unit: 'grapheme' }).filter((text) => !text.includes(':'))
    fc.assert(
      fc.property(name, fc.string({ unit: 'grapheme' }), (username, password) => {
        expect(parseBasic(basic(`${username}:${password}`))).toEqual({ username, password })
      }),
    )
  })
})
