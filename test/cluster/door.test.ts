import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { expect, it, onTestFinished } from 'vitest'
import { Door, type DoorOptions, type Front } from '../../src/cluster/door.ts'
import { type Events, subscribe } from '../../src/telemetry/events.ts'

const bounds: DoorOptions = {
  host: '127.0.0.1',
  port: 0,
  maxConnections: 100,
  maxConnectionsPerClient: 100,
  trustedProxies: [],
  tells: true,
  waitMs: 60_000,
  takeMs: 60_000,
}

async function openDoor(options: Partial<DoorOptions> = {}): Promise<Door> {
  const door = await Door.open({ ...bounds, ...options })
  onTestFinished(() => door.close())
  return door
}

/** A front that keeps what it is handed, and answers nothing. */
function front(): Front & { given: Map<number, Socket> } {
  const given = new Map<number, Socket>()
  return { given, give: (connection, socket) => void given.set(connection, socket) }
}

async function knock({ port }: Door, localAddress = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', localAddress })
  socket.on('error', () => {})
  onTestFinished(() => void socket.destroy())
  await once(socket, 'connect')
  return socket
}

const knockOften = async (door: Door, times: number) => {
  for (let n = 0; n < times; n++) await knock(door)
}

it('hands each connection to the front that has fewest', async () => {
  const door = await openDoor()
  const fronts = [front(), front()]
  for (const each of fronts) door.admit(each)
  await knockOften(door, 10)
  await expect.poll(() => fronts.map(({ given }) => given.size)).toEqual([5, 5])
  const [one, other] = fronts
  for (const connection of one?.given.keys() ?? []) {
    door.took(connection)
    door.gone(connection)
  }
  one?.given.clear()
  await knockOften(door, 5)
  await expect.poll(() => [one?.given.size, other?.given.size]).toEqual([5, 5])
})

it('keeps connections until there is somebody to serve them, and hands on what a front did not take', async () => {
  const door = await openDoor()
  const [dying, next] = [front(), front()]
  await knockOften(door, 3)
  door.admit(dying)
  await expect.poll(() => dying.given.size).toBe(3)
  const [taken = 0] = dying.given.keys()
  door.took(taken)
  door.admit(next)
  door.dismiss(dying)
  expect([...next.given.keys()].sort()).toEqual([...dying.given.keys()].filter((given) => given !== taken).sort())
  expect([...next.given.values()].every((socket) => !socket.destroyed)).toBe(true)
})

it('keeps them no longer than it may, and those that a front has for longer', async () => {
  const [served, deserted] = [await openDoor({ waitMs: 50 }), await openDoor({ waitMs: 50 })]
  const busy = front()
  served.admit(busy)
  const given = (await knock(served)).resume()
  await expect.poll(() => busy.given.size).toBe(1)
  const waiting = (await knock(deserted)).resume()
  await once(waiting, 'close')
  expect([given.closed, busy.given.get(1)?.destroyed]).toEqual([false, false])
})

it('lets go of those that a front has and does not take', async () => {
  const door = await openDoor({ takeMs: 50, maxConnectionsPerClient: 1 })
  const serving = front()
  door.admit(serving)
  const lost = (await knock(door)).resume()
  await once(lost, 'close')
  await knock(door)
  await expect.poll(() => serving.given.size).toBe(2)
})

it('D61: refuses those of one client beyond its bound, and counts what is gone no more', async () => {
  const door = await openDoor({ maxConnectionsPerClient: 2 })
  const serving = front()
  door.admit(serving)
  await knockOften(door, 2)
  const refused = await knock(door)
  const [told] = await once(refused, 'data')
  expect(told.toString()).toMatch(/^HTTP\/1\.1 503 /)
  await knock(door, '127.0.0.2')
  await expect.poll(() => serving.given.size).toBe(3)
  const [first = 0] = serving.given.keys()
  door.took(first)
  door.gone(first)
  await knock(door)
  await expect.poll(() => serving.given.size).toBe(4)
})

it('D61: closes those beyond the bound on all, and says so', async () => {
  const faults: Events['cistern:fault'][] = []
  onTestFinished(subscribe('cistern:fault', (fault) => faults.push(fault)))
  const door = await openDoor({ maxConnections: 1 })
  door.admit(front())
  await knock(door)
  const closed = (await knock(door)).resume()
  await once(closed, 'close')
  expect(faults).toMatchObject([{ where: 'http', kind: 'throttled' }])
})
