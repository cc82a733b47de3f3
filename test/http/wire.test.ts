import { describe, expect, it } from 'vitest'
import { blobUnknown } from '../../src/oci/errors.ts'
import { type Face, startFace } from '../support/face.ts'
import { RawConnection } from '../support/raw-http.ts'

const repository = 'docker.io/library/nginx'
const path = '/v2/docker.io/library/nginx'
const bytes = Buffer.alloc(300_000, 'blob')

async function expectAlive(face: Face): Promise<void> {
  expect((await face.get('/v2/')).status).toBe(200)
}

describe('a body that is not what was declared', () => {
  it('M1, D69: short: the connection breaks and nothing stands in for the rest', async () => {
    await using face = await startFace()
    const digest = face.registry.addBlob(repository, bytes)
    face.registry.misbehaviour = async (send, whole) => send(whole.subarray(0, 1000))
    await using connection = new RawConnection(face.port)
    connection.get(`${path}/blobs/${digest}`).get('/v2/')
    const { status, body, complete } = await connection.response()
    expect([status, body.length, complete]).toEqual([200, 1000, false])
    expect(await connection.rest()).toBe('')
    expect(face.registry.open).toBe(0)
    await expect
      .poll(() => face.requests)
      .toContainEqual(expect.objectContaining({ route: 'blob', status: 200, bytes: 1000, aborted: true }))
    await expectAlive(face)
  })

  it('M1, A10: long: the surplus is never sent', async () => {
    await using face = await startFace()
    const digest = face.registry.addBlob(repository, bytes)
    const surplus = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil')
    face.registry.misbehaviour = async (send, whole) => {
      await send(whole)
      await send(surplus)
    }
    await using connection = new RawConnection(face.port)
    connection.get(`${path}/blobs/${digest}`)
    expect((await connection.response()).body.equals(bytes)).toBe(true)
    expect(await connection.rest()).toBe('')
    await expectAlive(face)
  })

  it('M3: failing midway: a true prefix, then the end, and no word of the error', async () => {
    await using face = await startFace()
    const digest = face.registry.addBlob(repository, bytes)
    face.registry.misbehaviour = async (send, whole) => {
      await send(whole.subarray(0, 70_000))
      throw new Error('canary ?X-Amz-Signature=secret')
    }
    await using connection = new RawConnection(face.port)
    const { body, complete } = await connection.get(`${path}/blobs/${digest}`).response()
    expect(complete).toBe(false)
    expect(body.equals(bytes.subarray(0, body.length))).toBe(true)
    expect(await connection.rest()).toBe('')
    await expect.poll(() => face.requests).toHaveLength(1)
    expect(face.requests[0]).toMatchObject({ aborted: true, error: { message: expect.stringContaining('canary') } })
    await expectAlive(face)
  })

  it('failing before its first byte: the connection breaks all the same', async () => {
    await using face = await startFace()
    const digest = face.registry.addBlob(repository, bytes)
    face.registry.misbehaviour = async () => {
      throw blobUnknown(repository, digest)
    }
    await using connection = new RawConnection(face.port)
    connection.get(`${path}/blobs/${digest}`)
    await connection.response().then(
      ({ body, complete }) => expect([body.length, complete]).toEqual([0, false]),
      () => {},
    )
    await expectAlive(face)
  })

  it('D69: a kept connection serves answer after answer, each whole', async () => {
    await using face = await startFace()
    const digest = face.registry.addBlob(repository, bytes)
    const manifest = face.registry.addManifest(repository, 'latest', '{"layers":[]}')
    await using connection = new RawConnection(face.port)
    for (let round = 0; round < 3; round++) {
      connection.get(`${path}/blobs/${digest}`, 'Range: bytes=5-9').get(`${path}/manifests/${manifest}`)
      expect((await connection.response()).body).toEqual(bytes.subarray(5, 10))
      expect((await connection.response()).body.toString()).toBe('{"layers":[]}')
      connection.send(`HEAD ${path}/blobs/${digest} HTTP/1.1\r\nHost: x\r\n\r\n`)
      expect((await connection.response('HEAD')).headers.get('content-length')).toBe(String(bytes.length))
      connection.get(`${path}/blobs/${digest}`, 'Range: bytes=999999-')
      expect((await connection.response()).status).toBe(416)
      connection.get(`${path}/manifests/latest`, 'If-None-Match: *')
      expect((await connection.response()).status).toBe(304)
    }
  })
})

describe('a client', () => {
  it('D57: that leaves ends its body, which is disposed', async () => {
    await using face = await startFace()
    const digest = face.registry.addBlob(repository, bytes)
    const started = Promise.withResolvers<void>()
    const ended = Promise.withResolvers<unknown>()
    face.registry.misbehaviour = async (send, whole) => {
      try {
        for (;;) {
          await send(whole.subarray(0, 1))
          started.resolve()
          await new Promise(setImmediate)
        }
      } catch (error) {
        ended.resolve(error)
        throw error
      }
    }
    await using connection = new RawConnection(face.port)
    connection.get(`${path}/blobs/${digest}`)
    await started.promise
    connection.socket.destroy()
    expect(await ended.promise).toBeInstanceOf(Error)
    await expect.poll(() => face.registry.open).toBe(0)
    await expect.poll(() => face.requests).toHaveLength(1)
    expect(face.requests[0]?.aborted).toBe(true)
    expect(face.requests[0]?.error).toBeUndefined()
    expect(face.faults).toEqual([])
  })

  it('D60: that takes nothing loses its connection', async () => {
    await using face = await startFace({ writeStallMs: 100 })
    const large = Buffer.alloc(32 * 1024 * 1024)
    const digest = face.registry.addBlob(repository, large)
    await using connection = new RawConnection(face.port)
    connection.socket.pause()
    connection.get(`${path}/blobs/${digest}`)
    await expect.poll(() => face.requests, { timeout: 10_000 }).toHaveLength(1)
    expect(face.requests[0]).toMatchObject({
      aborted: true,
      error: { message: expect.stringContaining('too slow') },
    })
    expect(face.registry.open).toBe(0)
  })

  it('is not blamed for a source that is slow', async () => {
    await using face = await startFace({ writeStallMs: 50 })
    const digest = face.registry.addBlob(repository, bytes)
    face.registry.misbehaviour = async (send, whole) => {
      await send(whole.subarray(0, 10))
      await new Promise((resolve) => setTimeout(resolve, 200))
      await send(whole.subarray(10))
    }
    await using connection = new RawConnection(face.port)
    expect((await connection.get(`${path}/blobs/${digest}`).response()).body.equals(bytes)).toBe(true)
  })

  it('gets its headers before a slow first byte', async () => {
    await using face = await startFace()
    const digest = face.registry.addBlob(repository, bytes)
    const release = Promise.withResolvers<void>()
    face.registry.misbehaviour = async (send, whole) => {
      await release.promise
      await send(whole)
    }
    const response = await face.get(`${path}/blobs/${digest}`)
    expect(response.status).toBe(200)
    release.resolve()
    expect((await response.arrayBuffer()).byteLength).toBe(bytes.length)
  })
})

describe('D68: a method that writes', () => {
  it.each(['PUT', 'POST', 'PATCH', 'DELETE', 'OPTIONS'])('%s is 405 on every route', async (method) => {
    await using face = await startFace()
    const digest = face.registry.addBlob(repository, bytes)
    for (const target of [
      '/v2/',
      '/v2/_catalog',
      `${path}/manifests/latest`,
      `${path}/blobs/${digest}`,
      `${path}/blobs/uploads/`,
      '/docker.io/v2/library/nginx/manifests/latest',
    ]) {
      const response = await face.get(target, {}, method)
      expect([target, response.status]).toEqual([target, 405])
      expect(response.headers.get('allow')).toBe('GET, HEAD')
      expect(await response.json()).toMatchObject({ errors: [{ code: 'UNSUPPORTED' }] })
    }
    expect(face.registry.asked).toEqual([])
  })

  it('is told so in the middle of a big body, of which little is read', async () => {
    await using face = await startFace()
    await using connection = new RawConnection(face.port)
    connection.send(`PUT ${path}/manifests/latest HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n`)
    connection.send(Buffer.alloc(32 * 1024 * 1024))
    const { status, headers, complete } = await connection.response()
    expect([status, headers.get('connection'), complete]).toEqual([405, 'close', true])
    await connection.rest()
    expect(connection.socket.bytesWritten - connection.socket.writableLength).toBeLessThan(32 * 1024 * 1024)
    await expect.poll(() => face.requests).toMatchObject([{ status: 405, aborted: false }])
    await expectAlive(face)
  })

  it('is not invited to send its body', async () => {
    await using face = await startFace()
    await using connection = new RawConnection(face.port)
    connection.send(
      `PUT ${path}/manifests/latest HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n`,
    )
    expect((await connection.response()).status).toBe(405)
  })

  it('leaves the connection fit for use where it had no body', async () => {
    await using face = await startFace()
    await using connection = new RawConnection(face.port)
    connection.send(`DELETE ${path}/manifests/latest HTTP/1.1\r\nHost: x\r\n\r\n`).get('/v2/')
    expect((await connection.response()).status).toBe(405)
    expect((await connection.response()).status).toBe(200)
  })
})
