import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, it } from 'vitest'
import { askSteadily } from '../../../bench/load/steady.ts'

it('charges a server that stalls once with everybody who would have come meanwhile', async () => {
  let answered = 0
  const server = createServer((_request, response) => {
    setTimeout(() => response.end('x'), answered++ === 20 ? 250 : 0)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}`
  const timings = await askSteadily({ url, path: '/', connections: 1, perSecond: 400, seconds: 0.5 })
  server.close()

  expect(timings).toHaveLength(200)
  expect(timings.filter(({ latencyMs }) => latencyMs > 100).length).toBeGreaterThan(20)
})
