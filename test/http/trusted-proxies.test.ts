import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { AccessKey } from '../../src/access/access-key.ts'
import { ClientLimits } from '../../src/access/client-limits.ts'
import { readPolicy } from '../../src/access/policy-document.ts'
import { Tokens } from '../../src/access/tokens.ts'
import { Authentication } from '../../src/http/auth.ts'
import type { Network } from '../../src/http/trusted-proxies.ts'
import { startFace } from '../support/face.ts'
import { RawConnection } from '../support/raw-http.ts'

const loopback: Network = { address: '127.0.0.0', bits: 8 }
const inner: Network[] = [
  { address: '10.0.0.0', bits: 8 },
  { address: 'fd00::', bits: 8 },
]

/** The client that the log has for a request with these header lines. */
async function clientOf(trustedProxies: readonly Network[], ...lines: string[]): Promise<string | undefined> {
  await using face = await startFace({ trustedProxies })
  await using connection = new RawConnection(face.port)
  expect((await connection.get('/v2/', ...lines).response()).status).toBe(200)
  connection.socket.destroy()
  return face.requests[0]?.client
}

const forwarded = (value: string) => `X-Forwarded-For: ${value}`

describe('the client', () => {
  it.each([[[]], [inner], [[{ address: '127.0.0.2', bits: 32 }]]])(
    'F89: is whoever connects, unless that is a trusted proxy: %j',
    async (trusted) => {
      expect(await clientOf(trusted, forwarded('203.0.113.7'))).toBe('127.0.0.1')
    },
  )

  it.each([
    ['203.0.113.7', '203.0.113.7'],
    ['6.6.6.6, 203.0.113.7', '203.0.113.7'],
    ['10.0.0.9, 203.0.113.7', '203.0.113.7'],
    ['6.6.6.6, 203.0.113.7, 10.0.0.2, fd00::2', '203.0.113.7'],
    ['10.0.0.3, 10.0.0.2', '10.0.0.3'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['::FFFF:cb00:7107', '203.0.113.7'],
    ['203.0.113.7, ::ffff:a00:2', '203.0.113.7'],
    ['2001:DB8::0:1', '2001:db8::1'],
    ['[2001:db8::1]:4711, 10.0.0.2:80', '2001:db8::1'],
    ['203.0.113.7:4711', '203.0.113.7'],
    [' , 203.0.113.7 ,, ', '203.0.113.7'],
  ])('F89: is the last who is no proxy, behind one: %s', async (value, client) => {
    expect(await clientOf([loopback, ...inner], forwarded(value))).toBe(client)
  })

  it('F89: is read from several lines as from one', async () => {
    const lines = [forwarded('6.6.6.6'), forwarded('203.0.113.7'), forwarded('10.0.0.2')]
    expect(await clientOf([loopback, ...inner], ...lines)).toBe('203.0.113.7')
  })

  it.each([
    ['', '127.0.0.1'],
    ['unknown', '127.0.0.1'],
    ['203.0.113.7, unknown', '127.0.0.1'],
    ['203.0.113.7, _hidden, 10.0.0.2', '10.0.0.2'],
    ['203.0.113.7, 10.0.0.2.', '127.0.0.1'],
    ['203.0.113.07', '127.0.0.1'],
    ['3405803783', '127.0.0.1'],
    ['203.0.113.7/32', '127.0.0.1'],
    ['[203.0.113.7', '127.0.0.1'],
    ['[203.0.113.7]:x', '127.0.0.1'],
    ['"203.0.113.7"', '127.0.0.1'],
    ['x'.repeat(8000), '127.0.0.1'],
    [`${'10.0.0.2,'.repeat(1500)}`, '10.0.0.2'],
  ])('F89: is the last proxy where that does not name an address: %s', async (value, client) => {
    expect(await clientOf([loopback, ...inner], forwarded(value))).toBe(client)
  })

  it('F89: is named by no other header', async () => {
    const lines = ['Forwarded: for=203.0.113.7', 'X-Real-IP: 203.0.113.7', 'X-Client-IP: 203.0.113.7']
    expect(await clientOf([loopback], ...lines)).toBe('127.0.0.1')
  })
})

describe('a policy', () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'cistern-proxies-'))
  afterAll(() => rmSync(dataDir, { recursive: true, force: true }))

  /** What a user is told whose rights hang on a condition. */
  async function statusOf(condition: object, trustedProxies: Network[], headers: Record<string, string>) {
    const statement = { Effect: 'Allow', Action: '*', Resource: '*', Condition: condition }
    const policies = [readPolicy({ Version: '2012-10-17', Statement: statement }, 'identity')]
    const key: AccessKey = { id: 'AKIAALICE', secret: 'secret-of-alice', user: 'alice', policies, references: [] }
    const keys = new Map([[key.id, key]])
    const registryId = '111122223333'
    const tokens = await Tokens.open({ dataDir, registryId, keys })
    const authentication = new Authentication({ mode: 'required', registryId, publicUrl: 'http://x', keys, tokens })
    await using face = await startFace({ authentication, trustedProxies })
    face.registry.addManifest('docker.io/library/nginx', 'v1', '{}')
    const authorization = `Basic ${(await tokens.issue(key)).authorizationToken}`
    return (await face.get('/v2/docker.io/library/nginx/manifests/v1', { ...headers, authorization })).status
  }

  const office = { IpAddress: { 'aws:SourceIp': '203.0.113.0/24' } }

  it.each<[string, Network[], string, number]>([
    ['from there by a proxy', [loopback], '203.0.113.7', 200],
    ['from there by a proxy, mapped', [loopback], '::ffff:203.0.113.7', 200],
    ['who only says so', [], '203.0.113.7', 403],
    ['who says so to a proxy', [loopback], '203.0.113.7, 198.51.100.1', 403],
    ['of whom nobody knows', [loopback], '203.0.113.7, unknown', 403],
  ])(
    'F89: that asks for an address lets in no more than those from there: one %s',
    async (_, trusted, value, status) => {
      expect(await statusOf(office, trusted, { 'x-forwarded-for': value })).toBe(status)
    },
  )

  const encrypted = { Bool: { 'aws:SecureTransport': 'true' } }

  it.each<[string, Network[], string | undefined, number]>([
    ['by a proxy', [loopback], 'https', 200],
    ['by proxies', [loopback], 'HTTPS, https', 200],
    ['by its own word', [], 'https', 403],
    ['by its word to a proxy', [loopback], 'https, http', 403],
    ['at first not', [loopback], 'http, https', 403],
    ['by a proxy that says nothing', [loopback], undefined, 403],
    ['by a proxy that says nonsense', [loopback], 'httpsx', 403],
  ])(
    'F89: that asks for an encrypted connection is told so by proxies alone: %s',
    async (_, trusted, value, status) => {
      expect(await statusOf(encrypted, trusted, value === undefined ? {} : { 'x-forwarded-proto': value })).toBe(status)
    },
  )
})

describe('limits', () => {
  it('F89: count what leads to nothing for each client behind a proxy, and for no client that only says so', async () => {
    for (const trustedProxies of [[loopback], []]) {
      const limits = new ClientLimits({ unknownPerMinute: 1, now: () => 0 })
      await using face = await startFace({ limits, trustedProxies })
      face.registry.upstream = true
      const statuses: number[] = []
      for (const client of ['203.0.113.7', '203.0.113.7', '203.0.113.8']) {
        const path = `/v2/docker.io/library/none/manifests/v${statuses.length}`
        statuses.push((await face.get(path, { 'x-forwarded-for': client })).status)
      }
      expect(statuses).toEqual(trustedProxies.length > 0 ? [404, 429, 404] : [404, 429, 429])
    }
  })

  it('of connections per client are none for proxies', async () => {
    for (const trustedProxies of [[loopback], []]) {
      await using face = await startFace({ trustedProxies, maxConnectionsPerClient: 1 })
      await using first = new RawConnection(face.port)
      expect((await first.get('/v2/').response()).status).toBe(200)
      await using second = new RawConnection(face.port)
      expect((await second.get('/v2/').response()).status).toBe(trustedProxies.length > 0 ? 200 : 503)
    }
  })
})
