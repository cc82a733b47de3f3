import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { Connection } from '../../../bench/load/connection.ts'

const open: Disposable[] = []
afterEach(() => {
  for (const resource of open.splice(0)) resource[Symbol.dispose]()
})

/** A connection to a server that does with it as it is told, once it has a request. */
async function connectTo(serve: (socket: Socket, request: string) => void): Promise<Connection> {
  const server = createServer((socket) => {
    socket.on('error', () => {}).on('data', (data) => serve(socket, data.toString('latin1')))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const connection = await Connection.open(`http://127.0.0.1:${port}`, Buffer.alloc(1024))
  open.push(connection, { [Symbol.dispose]: () => server.close() })
  return connection
}

const answers = (body: string, length = body.length) => `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n${body}`

describe('a connection of the load generator', () => {
  it('counts bodies, one answer after the other', async () => {
    const bodies = ['x'.repeat(5000), '', 'yz']
    const connection = await connectTo((socket) => socket.write(answers(bodies.shift() ?? '')))
    const sizes: number[] = []
    for (let n = 0; n < 3; n++) sizes.push((await connection.ask({ path: '/' })).bytes)

    expect(sizes).toEqual([5000, 0, 2])
  })

  it('reads a head that comes in pieces', async () => {
    const connection = await connectTo((socket) => {
      socket.setNoDelay(true)
      const [first, second] = ['HTTP/1.1 404 Not Found\r\ncontent-le', 'ngth: 3\r\n\r\nabc']
      socket.write(first, () => setTimeout(() => socket.write(second), 10))
    })

    expect(await connection.ask({ path: '/' })).toMatchObject({ status: 404, bytes: 3 })
  })

  it('knows that an answer to HEAD has no body, and sends what it is given', async () => {
    const requests: string[] = []
    const connection = await connectTo((socket, request) => {
      requests.push(request)
      socket.write(answers('', 500))
    })
    await connection.ask({ method: 'HEAD', path: '/a', headers: { accept: 'b' } })
    await connection.ask({ method: 'HEAD', path: '/c' })

    expect(requests.map((request) => request.split('\r\n')[0])).toEqual(['HEAD /a HTTP/1.1', 'HEAD /c HTTP/1.1'])
    expect(requests[0]).toContain('\r\naccept: b\r\n')
  })

  it.each([
    ['breaks off', (socket: Socket) => socket.end(answers('abc', 5)), 'was closed'],
    ['is longer than declared', (socket: Socket) => socket.write(answers('abcde', 3)), 'more came'],
    ['has no length', (socket: Socket) => socket.write('HTTP/1.1 200 OK\r\n\r\nabc'), 'does not declare'],
  ])('takes no answer that %s', async (_, serve, why) => {
    const connection = await connectTo(serve)

    await expect(connection.ask({ path: '/' })).rejects.toThrow(why)
  })

  it('reads no further than it is allowed to, and goes on from there', async () => {
    const size = 4 * 1024 * 1024
    const connection = await connectTo((socket) => socket.write(answers('x'.repeat(size))))
    connection.readUpTo(10_000)
    const answer = connection.ask({ path: '/' })
    while (connection.received < 10_000) await new Promise((resolve) => setTimeout(resolve, 5))
    await new Promise((resolve) => setTimeout(resolve, 50))

    expect(connection.received).toBeLessThan(10_000 + 1024)
    connection.readUpTo(Number.POSITIVE_INFINITY)
    expect((await answer).bytes).toBe(size)
  })
})
