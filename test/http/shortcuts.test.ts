import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { describe, expect, it } from 'vitest'
import { manifest, path, repository, startQuickFace } from '../support/quick-face.ts'
import { RawConnection } from '../support/raw-http.ts'

const latest = `GET ${path}/manifests/latest HTTP/1.1\r\nHost: test\r\n\r\n`

/** A face whose tag `latest` is prepared, `other` exists, and what of its requests Node read. */
async function start() {
  const given = await startQuickFace()
  given.face.registry.addManifest(repository, 'other', '{}')
  let read = 0
  const count = () => void read++
  subscribe('http.server.request.start', count)
  return {
    ...given,
    readByNode: () => read,
    async [Symbol.asyncDispose]() {
      unsubscribe('http.server.request.start', count)
      await given[Symbol.asyncDispose]()
    },
  }
}

/** A connection whose next request may be known: one like it was answered twice before. */
async function warm({ face }: Awaited<ReturnType<typeof start>>) {
  const connection = new RawConnection(face.port)
  for (let n = 0; n < 2; n++) expect((await connection.send(latest).response()).body.toString()).toBe(manifest)
  return connection
}

/** Whatever was sent before has been read: others have had their answers since. */
async function received({ face }: Awaited<ReturnType<typeof start>>) {
  await using connection = new RawConnection(face.port)
  for (let n = 0; n < 2; n++) await connection.get('/v2/').response()
}

describe('a request that is spelt like one before', () => {
  it('is not read by Node, and answered as Node did', async () => {
    await using given = await start()
    await using connection = await warm(given)
    const before = await connection.send(latest).response()
    expect(given.readByNode()).toBe(2)
    await using another = new RawConnection(given.face.port)
    const byNode = await another.send(latest).response()
    expect(given.readByNode()).toBe(3)
    const lines = ({ headers }: typeof before) =>
      [...headers].map(([name, value]) => (name === 'x-request-id' || name === 'date' ? name : `${name}: ${value}`))
    expect(lines(before)).toEqual(lines(byNode))
    expect(Math.abs(Date.parse(before.headers.get('date') ?? '') - Date.now())).toBeLessThan(10_000)
    expect(before.body).toEqual(byNode.body)
    expect(given.face.requests).toHaveLength(4)
  })

  it('is one on connections that were busy with others meanwhile', async () => {
    await using given = await start()
    await using connection = await warm(given)
    const other = await connection.get(`${path}/manifests/other`, 'X-New: 1').response()
    expect(other.body.toString()).toBe('{}')
    const before = given.readByNode()
    expect((await connection.send(latest).response()).body.toString()).toBe(manifest)
    expect(given.readByNode()).toBe(before)
  })

  it.each([
    ['an earlier one', `GET ${path}/manifests/other HTTP/1.1\r\nHost: test\r\nX-Part: `],
    [
      'the body of an earlier one',
      `GET ${path}/manifests/other HTTP/1.1\r\nHost: test\r\nContent-Length: ${latest.length}\r\n\r\n`,
    ],
  ])('is none where it is part of %s', async (_, beginning) => {
    await using given = await start()
    await using connection = await warm(given)
    connection.send(beginning)
    await received(given)
    const read = given.readByNode()
    connection.send(latest)
    const { body } = await connection.response()
    expect(body.toString()).not.toBe(manifest)
    expect(given.readByNode() - read).toBe(beginning.includes('X-Part') ? 1 : 0)
  })

  it('is none where an earlier one began right behind another', async () => {
    await using given = await start()
    await using connection = await warm(given)
    const other = `GET ${path}/manifests/other HTTP/1.1\r\n`
    expect((await connection.send(`${other}Host: test\r\n\r\n${other}X-Part: `).response()).body.toString()).toBe('{}')
    expect((await connection.send(latest).response()).body.toString()).toBe('{}')
  })

  it('is not learned from the end of another one', async () => {
    await using given = await start()
    const target = `GET ${path}/manifests/other HTTP/1.1\r\nHost: test\r\n\r\n`
    await using liar = await warm(given)
    for (let n = 0; n < 2; n++) {
      liar.send(`GET ${path}/manifests/latest HTTP/1.1\r\nX-Part: `)
      await received(given)
      expect((await liar.send(target).response()).body.toString()).toBe(manifest)
    }
    await using connection = await warm(given)
    for (let n = 0; n < 3; n++) expect((await connection.send(target).response()).body.toString()).toBe('{}')
  })

  it('keeps its turn behind an answer that is under way', async () => {
    await using given = await start()
    await using connection = await warm(given)
    const { registry } = given.face
    const release = Promise.withResolvers<void>()
    const digest = registry.addBlob(repository, Buffer.from('slow'))
    registry.misbehaviour = async (send, whole) => {
      await release.promise
      await send(whole)
    }
    connection.get(`${path}/blobs/${digest}`)
    await expect.poll(() => registry.open).toBe(1)
    connection.send(latest)
    await received(given)
    release.resolve()
    expect((await connection.response()).body.toString()).toBe('slow')
    expect((await connection.response()).body.toString()).toBe(manifest)
  })

  it('is Node’s to answer where the connection is not to be kept', async () => {
    await using given = await start()
    const closing = latest.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')
    for (let n = 0; n < 3; n++) {
      await using connection = new RawConnection(given.face.port)
      expect((await connection.send(closing).response()).headers.get('connection')).toBe('close')
      expect(await connection.rest()).toBe('')
    }
    expect(given.readByNode()).toBe(3)
  })

  it('is worked out again after any change', async () => {
    await using given = await start()
    await using connection = await warm(given)
    given.changes.note()
    expect((await connection.send(latest).response()).status).toBe(200)
    expect(given.face.registry.asked).toHaveLength(2)
  })
})
