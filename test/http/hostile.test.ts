import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Face, startFace } from '../support/face.ts'
import { RawConnection } from '../support/raw-http.ts'

const repository = 'docker.io/library/nginx'
const path = '/v2/docker.io/library/nginx'
const bytes = Buffer.alloc(300_000, 'blob')

/** The status of whatever answers `payload`, or `undefined` where the connection just ends. */
async function statusOf(face: Face, payload: string): Promise<number | undefined> {
  await using connection = new RawConnection(face.port)
  connection.send(payload)
  return await connection.response().then(
    ({ status }) => status,
    () => undefined,
  )
}

async function expectAlive(face: Face): Promise<void> {
  expect((await face.get('/v2/')).status).toBe(200)
}

describe('hostile bytes', () => {
  const line = (target: string) => `GET ${target} HTTP/1.1\r\n`

  it.each([
    ['M5, E70: an encoded slash', `${line('/v2/a%2f..%2fb/manifests/x')}Host: x\r\n\r\n`],
    ['M5, E70: encoded dots', `${line('/v2/%2e%2e/manifests/x')}Host: x\r\n\r\n`],
    ['M5, E70: a NUL', `${line('/v2/a%00/manifests/x')}Host: x\r\n\r\n`],
    ['E70: an empty segment', `${line('/v2//a/manifests/x')}Host: x\r\n\r\n`],
    ['E70: a backslash', `${line('/v2/a\\b/manifests/x')}Host: x\r\n\r\n`],
    ['E70: upper case', `${line('/v2/Nginx/manifests/x')}Host: x\r\n\r\n`],
    ['E70: a name too long', `${line(`/v2/${'a'.repeat(256)}/manifests/x`)}Host: x\r\n\r\n`],
    ['E72: dot segments', `${line('/v2/a/../../etc/passwd')}Host: x\r\n\r\n`],
    ['M6: two Hosts', `${line('/v2/')}Host: x\r\nHost: y\r\n\r\n`],
    ['M6: an absolute target', `${line('http://evil.example/v2/')}Host: x\r\n\r\n`],
    ['M6: a bad Host', `${line('/v2/')}Host: a b\r\n\r\n`],
    [
      'E75: length and chunks',
      `${line('/v2/')}Host: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    ],
    ['E75: two lengths', `${line('/v2/')}Host: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd`],
    ['E75: bare line feeds', 'GET /v2/ HTTP/1.1\nHost: x\n\n'],
    ['E75: a folded header', `${line('/v2/')}Host: x\r\nA: b\r\n c: d\r\n\r\n`],
    ['E75: space before the colon', `${line('/v2/')}Host : x\r\n\r\n`],
    ['no HTTP', 'hello\r\n\r\n'],
  ])('%s is 400 in the form of all errors', async (_case, payload) => {
    await using face = await startFace()
    await using connection = new RawConnection(face.port)
    const { status, headers, body } = await connection.send(payload).response()
    expect(status).toBe(400)
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(JSON.parse(body.toString())).toMatchObject({ errors: [{ message: expect.any(String) }] })
    expect(face.registry.asked).toEqual([])
    await expect.poll(() => face.requests).toHaveLength(1)
    await expectAlive(face)
  })

  it('E76: too much is 431, odd headers are nothing', async () => {
    await using face = await startFace()
    expect(await statusOf(face, `${line(`/v2/${'a'.repeat(20_000)}`)}Host: x\r\n\r\n`)).toBe(431)
    expect(await statusOf(face, `${line('/v2/')}Host: x\r\nA: ${'a'.repeat(20_000)}\r\n\r\n`)).toBe(431)
    const headers = (count: number) => Array.from({ length: count }, (_, at) => `h${at}: x\r\n`).join('')
    expect(await statusOf(face, `${line('/v2/')}Host: x\r\n${headers(100)}\r\n`)).toBe(200)
    expect(await statusOf(face, `${line('/v2/')}Host: x\r\n${headers(2000)}\r\n`)).toBe(431)
    expect(await statusOf(face, `${line('/v2/')}\r\n`)).toBe(400)
    expect(await statusOf(face, `${line('/v2/')}Host: x\r\n__proto__: y\r\n__proto__: z\r\n\r\n`)).toBe(200)
    await expectAlive(face)
  })

  it('E76: any bytes at all are answered or cut off, and the next request is served', async () => {
    await using face = await startFace()
    const fragment = fc.oneof(
      fc.constantFrom(
        'GET ',
        'PUT ',
        '/v2/',
        ' HTTP/1.1',
        '\r\n',
        '\n',
        'Host: x',
        'Content-Length: 5',
        '?ns=',
        '__proto__: x',
      ),
      fc.constantFrom(
        'Transfer-Encoding: chunked',
        'Upgrade: h2c',
        'Connection: upgrade',
        'Expect: 100-continue',
        '\u0000',
        '%2f',
      ),
      fc.string({ maxLength: 5 }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(fragment, { maxLength: 20 }), async (fragments) => {
        await using connection = new RawConnection(face.port)
        connection.send(`${fragments.join('')}\r\n\r\n`)
        connection.socket.end()
        await connection.rest()
        await expectAlive(face)
      }),
      { numRuns: 100 },
    )
    expect(face.faults).toEqual([])
  })

  it('E75: nothing is said inside an answer that is under way', async () => {
    await using face = await startFace()
    const digest = face.registry.addBlob(repository, bytes)
    const started = Promise.withResolvers<void>()
    const release = Promise.withResolvers<void>()
    face.registry.misbehaviour = async (send, whole) => {
      await send(whole.subarray(0, 10))
      started.resolve()
      await release.promise
      await send(whole.subarray(10))
    }
    await using connection = new RawConnection(face.port)
    connection.get(`${path}/blobs/${digest}`)
    await started.promise
    connection.send('garbage\r\n\r\n')
    const { body } = await connection.response()
    release.resolve()
    expect(bytes.subarray(0, body.length).equals(body)).toBe(true)
    expect(await connection.rest()).toBe('')
  })

  it('E74: no header of the request shapes an answer', async () => {
    await using face = await startFace()
    face.registry.addManifest(repository, 'a', '{}')
    face.registry.addManifest(repository, 'b', '{}')
    await using connection = new RawConnection(face.port)
    connection.get(`${path}/tags/list?n=1`, 'X-Forwarded-Host: evil.example', 'X-Forwarded-Proto: gopher')
    expect((await connection.response()).headers.get('link')).toBe(`<${path}/tags/list?n=1&last=a>; rel="next"`)
  })

  it('E82: the data port has no other doors', async () => {
    await using face = await startFace()
    for (const target of ['/metrics', '/admin', '/livez', '/readyz', '/', '/v1/_ping', '/debug/pprof']) {
      const response = await face.get(target)
      expect([target, response.status]).toEqual([target, 404])
      expect(await response.json()).toMatchObject({ errors: [{ code: 'NAME_UNKNOWN' }] })
    }
  })

  it('E80: a hostile user agent is announced as text of bounded length', async () => {
    await using face = await startFace()
    await face.get('/v2/', { 'user-agent': `\u009b[31m${'x'.repeat(1000)}` })
    await expect.poll(() => face.requests).toHaveLength(1)
    expect(face.requests[0]?.userAgent.length).toBeLessThanOrEqual(256)
  })
})
