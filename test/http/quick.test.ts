import { describe, expect, it } from 'vitest'
import { readPolicy } from '../../src/access/policy-document.ts'
import { Authentication } from '../../src/http/auth.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { manifest, path, registry, repository, startQuickFace } from '../support/quick-face.ts'
import { RawConnection } from '../support/raw-http.ts'

const comparable = (response: Response) => {
  const { 'x-request-id': requestId, date: _, ...headers } = Object.fromEntries(response.headers)
  return { status: response.status, headers, requestId }
}

describe('an answer that was given before', () => {
  it.each(['GET', 'HEAD'])('is given again to the byte, to a %s, without asking anybody, and told', async (method) => {
    await using given = await startQuickFace()
    const { face } = given
    const answers = []
    for (let n = 0; n < 3; n++) {
      const response = await face.get(`${path}/manifests/latest`, { 'user-agent': 'tester' }, method)
      answers.push({ ...comparable(response), text: await response.text() })
    }
    const [first, second, third] = answers
    expect(face.registry.asked).toHaveLength(1)
    expect(second?.text).toBe(method === 'GET' ? manifest : '')
    expect({ ...second, requestId: '' }).toEqual({ ...first, requestId: '' })
    expect(new Set([first, second, third].map((answer) => answer?.requestId)).size).toBe(3)
    expect(face.requests).toHaveLength(3)
    const { requestId: _, durationMs: __, ...told } = face.requests[0] ?? {}
    expect(face.requests[2]).toMatchObject({ ...told, requestId: third?.requestId })
  })

  it('of a small blob is given again as well', async () => {
    await using given = await startQuickFace()
    const { face } = given
    const bytes = Buffer.from(Array.from({ length: 1000 }, (_, at) => at % 256))
    const digest = face.registry.addBlob(repository, bytes)
    face.registry.hasBytes = true
    for (let n = 0; n < 3; n++) {
      const response = await face.get(`${path}/blobs/${digest}`)
      expect(Buffer.from(await response.arrayBuffer()).equals(bytes)).toBe(true)
    }
    expect(face.registry.asked).toHaveLength(1)
    const part = await face.get(`${path}/blobs/${digest}`, { range: 'bytes=1-3' })
    expect([part.status, Buffer.from(await part.arrayBuffer())]).toEqual([206, bytes.subarray(1, 4)])
  })

  it('says how long it stays fresh, and is worked out anew after that', async () => {
    await using given = await startQuickFace()
    const { face, clock } = given
    const status = async () => (await face.get(`${path}/manifests/latest`)).headers.get('cache-status')
    face.registry.outcome = { cache: 'hit', ttlMs: 5_000 }
    expect(await status()).toBe('cistern; hit; ttl=5')
    clock.now += 3_000
    expect(await status()).toBe('cistern; hit; ttl=2')
    clock.now += 2_000
    await status()
    expect(face.registry.asked).toHaveLength(2)
  })

  it('is worked out now and then however fresh it is, for what is in use to be seen', async () => {
    await using given = await startQuickFace()
    const { face, clock } = given
    await face.get(`${path}/manifests/latest`)
    clock.now += 9_000
    await face.get(`${path}/manifests/latest`)
    expect(face.registry.asked).toHaveLength(1)
    expect(given.uses).toEqual([digestOf(Buffer.from(manifest))])
    clock.now += 2_000
    await face.get(`${path}/manifests/latest`)
    expect(face.registry.asked).toHaveLength(2)
  })

  it.each<[string, 'miss' | 'revalidated' | 'stale' | 'collapsed']>([
    ['a miss', 'miss'],
    ['confirmed', 'revalidated'],
    ['stale', 'stale'],
    ['joined', 'collapsed'],
  ])('is worked out each time where it was %s', async (_, cache) => {
    await using given = await startQuickFace()
    given.face.registry.outcome = { cache }
    for (let n = 0; n < 2; n++) await given.face.get(`${path}/manifests/latest`)
    expect(given.face.registry.asked).toHaveLength(2)
  })

  it('is worked out anew after any change of what it hangs on', async () => {
    await using given = await startQuickFace()
    const { face, changes } = given
    for (let n = 0; n < 2; n++) await face.get(`${path}/manifests/latest`)
    changes.note()
    await face.get(`${path}/manifests/latest`)
    expect(face.registry.asked).toHaveLength(2)
  })

  it('F86: is refused from the moment that a policy of the repository denies it', async () => {
    await using given = await startQuickFace()
    const { face, settings } = given
    const statusOf = async () => (await face.get(`${path}/manifests/latest`)).status
    expect([await statusOf(), await statusOf()]).toEqual([200, 200])
    const policy = JSON.stringify({ Statement: { Effect: 'Deny', Principal: '*', Action: 'ecr:*' } })
    await settings.change(repository, () => ({ policy }))
    expect(await statusOf()).toBe(403)
  })

  it('leaves conditions and ranges to those who know them', async () => {
    await using given = await startQuickFace()
    const { face } = given
    const digest = face.registry.addManifest(repository, 'other', manifest)
    for (let n = 0; n < 2; n++) await face.get(`${path}/manifests/other`)
    expect((await face.get(`${path}/manifests/other`, { 'if-none-match': `"${digest}"` })).status).toBe(304)
    expect((await face.get(`${path}/manifests/other`)).status).toBe(200)
  })

  it('keeps its turn among requests that a client sends ahead', async () => {
    await using given = await startQuickFace()
    const { face } = given
    face.registry.addManifest(repository, 'slow', '{}')
    await face.get(`${path}/manifests/latest`)
    await using connection = new RawConnection(face.port)
    const tags = ['slow', 'latest', 'slow', 'latest', 'latest']
    connection.send(tags.map((tag) => `GET ${path}/manifests/${tag} HTTP/1.1\r\nHost: x\r\n\r\n`).join(''))
    for (const tag of tags) {
      expect((await connection.response()).body.toString()).toBe(tag === 'slow' ? '{}' : manifest)
    }
  })

  it('is refused to a request with two Hosts, or one that is none', async () => {
    await using given = await startQuickFace()
    const { face } = given
    await face.get(`${path}/manifests/latest`)
    for (const hosts of ['Host: a\r\nHost: b', 'Host: a b']) {
      await using connection = new RawConnection(face.port)
      connection.send(`GET ${path}/manifests/latest HTTP/1.1\r\n${hosts}\r\n\r\n`)
      expect((await connection.response()).status).toBe(400)
    }
  })
})

describe('where callers prove who they are', () => {
  const policies = [readPolicy({ Statement: { Effect: 'Allow', Action: 'ecr:*', Resource: '*' } }, 'identity')]
  const key = (user: string, rights = policies) => ({ id: user, secret: 's', user, policies: rights, references: [] })

  const doorOf = (clock: { now: number }) =>
    new Authentication({
      mode: 'required',
      registryId: registry.id,
      publicUrl: 'http://127.0.0.1:5000',
      keys: new Map(),
      tokens: {
        verify: async (password) => {
          const [user = '', until] = password.split('|')
          if (Number(until) <= clock.now) return { state: 'expired' }
          const holder = key(user, user === 'visitor' ? [] : policies)
          return { state: 'valid', key: holder, expiresAt: Number(until) }
        },
      },
    })

  const authorization = (password: string) => ({
    authorization: `Basic ${Buffer.from(`AWS:${password}`).toString('base64')}`,
  })

  it('F83: it is given to those alone who were found to have a right to it', async () => {
    const clock = { now: 1_000_000 }
    await using given = await startQuickFace({ proves: true, authentication: doorOf(clock) })
    const { face } = given
    const get = (headers: Record<string, string>) => face.get(`${path}/manifests/latest`, headers)
    const admin = authorization(`admin|${clock.now + 5_000}`)
    for (let n = 0; n < 2; n++) expect((await get(admin)).status).toBe(200)
    expect(face.registry.asked).toHaveLength(1)
    expect(face.requests.at(-1)?.principal).toBe('user/admin')
    expect((await get(authorization(`visitor|${clock.now + 5_000}`))).status).toBe(403)
    expect((await get({})).status).toBe(401)
    expect((await get({ authorization: `${admin.authorization}x` })).status).not.toBe(200)
  })

  it('F86: it is refused once the login has expired', async () => {
    const clock = { now: 1_000_000 }
    await using given = await startQuickFace({ proves: true, authentication: doorOf(clock) })
    const admin = authorization(`admin|${clock.now + 5_000}`)
    const get = () => given.face.get(`${path}/manifests/latest`, admin)
    expect([(await get()).status, (await get()).status]).toEqual([200, 200])
    clock.now += 5_000
    given.clock.now += 5_000
    expect((await get()).status).toBe(403)
  })
})
