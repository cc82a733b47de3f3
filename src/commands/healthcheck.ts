import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import type { Address } from '../config/address.ts'
import { loadConfig } from '../config.ts'

const patienceMs = 3000

/** Asks the instance of the same configuration whether it is ready. Throws `ConfigError`. */
export async function healthcheck(args: readonly string[]): Promise<number> {
  const { host, port } = reachable(loadConfig(args).adminListen)
  try {
    const signal = AbortSignal.timeout(patienceMs)
    const request = get({ host, port, path: '/readyz', signal })
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    response.resume()
    if (response.statusCode === 200) return 0
    process.stderr.write(`cistern: not ready (${response.statusCode})\n`)
  } catch (error) {
    process.stderr.write(`cistern: no answer on ${host}:${port} (${(error as NodeJS.ErrnoException).code})\n`)
  }
  return 1
}

/** Who listens on all addresses is found on loopback. */
const reachable = ({ host, port }: Address): Address => {
  if (host === '0.0.0.0') return { host: '127.0.0.1', port }
  return { host: host === '::' ? '::1' : host, port }
}
