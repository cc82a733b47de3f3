import { describe, expect, it } from 'vitest'
import { startFace } from '../support/face.ts'
import { RawConnection } from '../support/raw-http.ts'

const repository = 'docker.io/library/nginx'
const bytes = Buffer.alloc(100_000, 'x')

/** A face that holds back the end of a blob until told to release it. */
async function startHolding() {
  const face = await startFace()
  const release = Promise.withResolvers<void>()
  const digest = face.registry.addBlob(repository, bytes)
  face.registry.misbehaviour = async (send, whole) => {
    await send(whole.subarray(0, 10))
    await release.promise
    await send(whole.subarray(10))
  }
  const connection = new RawConnection(face.port)
  connection.get(`/v2/${repository}/blobs/${digest}`)
  await expect.poll(() => face.registry.open).toBe(1)
  return { face, connection, release }
}

describe('closing', () => {
  it('H108: lets answers under way finish, and idle connections go', async () => {
    const { face, connection, release } = await startHolding()
    await using idle = new RawConnection(face.port)
    idle.get('/v2/')
    expect((await idle.response()).status).toBe(200)
    const closed = face.listener.close(30_000)
    expect(await idle.rest()).toBe('')
    await expect(fetch(face.url)).rejects.toThrow()
    release.resolve()
    expect((await connection.response()).body.equals(bytes)).toBe(true)
    await closed
  })

  it('H108: breaks off what outlasts the grace', async () => {
    const { face, connection, release } = await startHolding()
    await face.listener.close(10)
    expect((await connection.response()).complete).toBe(false)
    release.resolve()
    await expect.poll(() => face.registry.open).toBe(0)
  })
})

describe('connections', () => {
  it('D61: that never finish their request are told so and closed', async () => {
    await using face = await startFace({ headersTimeoutMs: 50 })
    await using connection = new RawConnection(face.port)
    connection.send('GET /v2/ HTTP/1.1\r\nHost:')
    expect((await connection.response()).status).toBe(408)
    expect(await connection.rest()).toBe('')
  })

  it('D61: that say nothing are closed', async () => {
    await using face = await startFace({ headersTimeoutMs: 50 })
    await using connection = new RawConnection(face.port)
    await connection.rest()
  })

  it('D61: beyond the most are dropped', async () => {
    await using face = await startFace({ maxConnections: 1 })
    await using first = new RawConnection(face.port)
    expect((await first.get('/v2/').response()).status).toBe(200)
    await using second = new RawConnection(face.port)
    await expect(second.get('/v2/').response()).rejects.toThrow()
    expect((await first.get('/v2/').response()).status).toBe(200)
  })
})
