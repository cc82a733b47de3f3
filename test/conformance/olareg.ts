import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { eventually } from '../support/eventually.ts'
import { Service } from '../support/process.ts'
import { requireTool } from '../support/tools.ts'

/** A registry in memory that knows referrers. It takes pushes and refuses deletions. */
export async function startOlareg(): Promise<AsyncDisposable & { url: string }> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const address = ['--addr', '127.0.0.1', '--port', String(port)]
  const service = new Service(requireTool('olareg'), ['serve', '--store-type', 'mem', ...address])
  await eventually(() => fetch(`${url}/v2/`).then((response) => response.text()))
  return { url, [Symbol.asyncDispose]: () => service[Symbol.asyncDispose]() }
}

/** olareg does not say which port it got where it is asked for any. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
