import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Client } from 'undici'
import { expect, it } from 'vitest'
import { Incoming } from '../../src/upstream/incoming.ts'

const KiB = 1024

it('takes little of a body in one turn of the event loop, however much of it is there', async () => {
  const body = Buffer.alloc(8192 * KiB, 'body')
  await using server = createServer((_, response) => response.end(body)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = new Client(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const incoming = new Incoming({ host: 'up.example', headMs: 10_000, idleMs: 10_000 })
  client.dispatch({ method: 'GET', path: '/' }, incoming)
  await incoming.head
  for (let turns = 0; turns < 1000; turns++) await nextTurn() // nobody reads: what the system takes of it waits there
  let isOver = false
  const reading = incoming.read(body.length).finally(() => {
    isOver = true
  })
  const inTurns: number[] = []
  for (let before = incoming.received; !isOver; before = incoming.received) {
    await nextTurn()
    inTurns.push(incoming.received - before)
  }
  expect((await reading).equals(body)).toBe(true)
  expect(Math.max(...inTurns)).toBeLessThanOrEqual(128 * KiB)
  await client.close()
})
