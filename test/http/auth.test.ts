import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { AccessKey } from '../../src/access/access-key.ts'
import { builtInPolicies } from '../../src/access/built-in-policies.ts'
import { type PolicyDocument, readPolicy } from '../../src/access/policy-document.ts'
import { Tokens } from '../../src/access/tokens.ts'
import { Authentication } from '../../src/http/auth.ts'
import { manifestUnknown } from '../../src/oci/errors.ts'
import { startFace } from '../support/face.ts'
import { MemoryRegistry } from '../support/memory-registry.ts'

const registryId = '111122223333'
const publicUrl = 'https://cistern.example'
const dataDir = mkdtempSync(join(tmpdir(), 'cistern-auth-'))
afterAll(() => rmSync(dataDir, { recursive: true, force: true }))

const builtIn = (name: string): PolicyDocument[] => [builtInPolicies.get(name)].filter((policy) => policy !== undefined)
const allowing = (...actions: string[]) => [
  readPolicy({ Statement: { Effect: 'Allow', Action: actions, Resource: '*' } }, 'identity'),
]

const key = (user: string, policies: readonly PolicyDocument[]): AccessKey => ({
  id: `AKIA${user.toUpperCase()}`,
  secret: `secret-canary-of-${user}`,
  user,
  policies,
  references: [],
})

async function startRequired(policies: readonly PolicyDocument[]) {
  let now = 1_700_000_000_000
  const own = key('alice', policies)
  const keys = new Map([[own.id, own]])
  const tokens = await Tokens.open({ dataDir, registryId, keys, clock: () => now })
  const authentication = new Authentication({ mode: 'required', registryId, publicUrl, keys, tokens })
  const cached = new MemoryRegistry()
  const face = await startFace({ authentication, cachedOf: () => cached, cached: ['docker.io/library/nginx'] })
  const { authorizationToken } = await tokens.issue(own)
  face.registry.addManifest('docker.io/library/nginx', 'v1', '{}')
  return {
    face,
    keys,
    cached,
    login: { authorization: `Basic ${authorizationToken}` },
    pass: (ms: number) => {
      now += ms
    },
    [Symbol.asyncDispose]: () => face[Symbol.asyncDispose](),
  }
}

const manifest = '/v2/docker.io/library/nginx/manifests/v1'
const everything = [
  manifest,
  '/v2/docker.io/library/nginx/tags/list',
  `/v2/docker.io/library/nginx/blobs/sha256:${'0'.repeat(64)}`,
  `/v2/docker.io/library/nginx/referrers/sha256:${'0'.repeat(64)}`,
  '/v2/_catalog',
]

describe('where a login is required', () => {
  it('F83: nobody gets in without one, and is told how', async () => {
    await using given = await startRequired(builtIn('AdministratorAccess'))
    for (const path of ['/v2/', ...everything, '/v2/no.such.registry/a/manifests/b']) {
      const response = await given.face.get(path)
      expect([path, response.status]).toEqual([path, 401])
      expect(response.headers.get('www-authenticate')).toBe(
        'Basic realm="https://cistern.example/",service="ecr.amazonaws.com"',
      )
      expect(await response.json()).toMatchObject({ errors: [{ code: 'UNAUTHORIZED' }] })
    }
    expect(given.face.registry.asked).toEqual([])
  })

  it('a token opens the door, and the log says whose it is', async () => {
    await using given = await startRequired(builtIn('AdministratorAccess'))
    expect((await given.face.get('/v2/', given.login)).status).toBe(200)
    expect((await given.face.get(manifest, given.login)).status).toBe(200)
    expect(given.face.requests.at(-1)).toMatchObject({ principal: 'user/alice' })
    expect(JSON.stringify(given.face.requests)).not.toContain('canary')
  })

  it('F88: what is no token of ours is refused', async () => {
    await using given = await startRequired(builtIn('AdministratorAccess'))
    const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`
    const [, token = ''] = given.login.authorization.split(' ')
    const password = Buffer.from(token, 'base64').toString().slice('AWS:'.length)
    const forged = [
      'Basic',
      `Bearer ${password}`,
      basic(`alice:${password}`),
      basic('AWS:'),
      basic(`AWS:${password}x`),
      basic('AWS:eyJhbGciOiJub25lIn0.e30.'),
      'Basic !!!!',
    ]
    for (const authorization of forged) {
      expect([authorization, (await given.face.get(manifest, { authorization })).status]).toEqual([authorization, 401])
    }
  })

  it('F86: a token goes with its key, and with its twelve hours', async () => {
    await using given = await startRequired(builtIn('AdministratorAccess'))
    given.pass(12 * 3_600_000)
    const expired = await given.face.get(manifest, given.login)
    expect(expired.status).toBe(403)
    expect(await expired.json()).toEqual({
      errors: [{ code: 'DENIED', message: 'Your authorization token has expired. Reauthenticate and try again.' }],
    })
    given.pass(-12 * 3_600_000)
    given.keys.clear()
    expect((await given.face.get(manifest, given.login)).status).toBe(401)
  })

  it('F83: a user without rights is denied everything alike, with HEAD as with GET', async () => {
    await using given = await startRequired([])
    for (const path of everything) {
      for (const method of ['GET', 'HEAD']) {
        const response = await given.face.get(path, { ...given.login, range: 'bytes=0-1' }, method)
        expect([path, method, response.status]).toEqual([path, method, 403])
      }
    }
    expect(await (await given.face.get(manifest, given.login)).json()).toEqual({
      errors: [
        {
          code: 'DENIED',
          message:
            'User: arn:aws:iam::111122223333:user/alice is not authorized to perform: ecr:BatchGetImage on resource: ' +
            'arn:aws:ecr:us-east-1:111122223333:repository/docker.io/library/nginx because no identity-based policy ' +
            'allows the ecr:BatchGetImage action',
        },
      ],
    })
    expect(given.face.registry.asked).toEqual([])
    expect((await given.face.get('/v2/', given.login)).status).toBe(200)
  })

  it('manifests and blobs are different rights', async () => {
    await using given = await startRequired(allowing('ecr:BatchGetImage', 'ecr:BatchImportUpstreamImage'))
    const [, tags = '', blob = ''] = everything
    expect((await given.face.get(tags, given.login)).status).toBe(200)
    expect((await given.face.get(blob, given.login)).status).toBe(403)
  })

  it('without the right to import there is what is cached, and nothing else', async () => {
    await using given = await startRequired(allowing('ecr:BatchGetImage'))
    const cold = await given.face.get(manifest, given.login)
    expect(cold.status).toBe(404)
    expect(await cold.json()).toMatchObject({
      errors: [{ code: manifestUnknown('', '').code }],
    })
    given.cached.addManifest('docker.io/library/nginx', 'v1', '{}')
    expect((await given.face.get(manifest, given.login)).status).toBe(200)
    expect(given.face.registry.asked).toEqual([])
  })
})

describe('in open mode', () => {
  it('what a client sends along is looked at by nobody', async () => {
    await using face = await startFace({ cached: ['docker.io/library/nginx'] })
    face.registry.addManifest('docker.io/library/nginx', 'v1', '{}')
    const authorization = `Basic ${Buffer.from('someone:canary').toString('base64')}`
    for (const path of [manifest, '/v2/', '/v2/_catalog']) {
      expect((await face.get(path, { authorization })).status).toBe(200)
    }
    expect(face.requests.at(-1)).toMatchObject({ principal: 'anonymous' })
    expect(JSON.stringify(face.requests)).not.toContain('canary')
  })
})
