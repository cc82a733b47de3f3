import { once } from 'node:events'
import { createServer, request as forward, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream/promises'

type Sides = { reads: string; writes: string; prefix: string }

/**
 * One registry made of two origins: what is read comes from `reads`, what is written goes to `writes`, where names
 * stand without `prefix`.
 */
export async function startSplitter({ reads, writes, prefix }: Sides): Promise<AsyncDisposable & { url: string }> {
  const inside = `/v2/${prefix}/`

  const serve = (request: IncomingMessage, response: ServerResponse) => {
    const { method = '', url = '', headers } = request
    const isRead = (method === 'GET' || method === 'HEAD') && !url.includes('/blobs/uploads/')
    const path = isRead ? url : url.replace(inside, '/v2/').replace(`from=${encodeURIComponent(`${prefix}/`)}`, 'from=')
    const target = new URL(path, isRead ? reads : writes)
    const outgoing = forward(target, { method, headers: { ...headers, host: target.host } })
    outgoing.on('response', (incoming) => {
      const { location } = incoming.headers
      const outside = location && !isRead ? { location: location.replace(/^(https?:\/\/[^/]*)?\/v2\//, inside) } : {}
      response.writeHead(incoming.statusCode ?? 502, { ...incoming.headers, ...outside })
      pipeline(incoming, response).catch(() => response.destroy())
    })
    outgoing.on('error', () => response.destroy())
    pipeline(request, outgoing).catch(() => response.destroy())
  }

  const server = createServer(serve).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      server.close()
      server.closeAllConnections()
    },
  }
}
