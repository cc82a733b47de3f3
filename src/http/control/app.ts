import { Hono } from 'hono/tiny'
import type { KeyRing } from '../../access/keys.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { App } from '../app.ts'
import type { HttpEnv } from '../exchange.ts'
import { respondError, respondNowhere } from '../oci/errors.ts'
import { respondJson } from '../oci/respond.ts'
import { type CacheControl, cacheRoutes } from './cache.ts'
import { keyRoutes } from './keys.ts'
import { type TransferControl, transferRoutes } from './transfer.ts'

export type ControlOptions = {
  /** Resolves to a report, which is plain JSON. The signal is aborted when the command is gone. */
  scrub: (options: { bytesPerSecond: number; signal: AbortSignal }) => Promise<object>
  keys: Pick<KeyRing, 'create' | 'list' | 'revoke'>
  cache: CacheControl
  transfers: TransferControl
}

/** What commands ask of the instance that runs. Served on a socket of its owner's alone, and on no port. */
export function controlApp({ scrub, keys, cache, transfers }: ControlOptions): App {
  const app = new Hono<HttpEnv>()
  app.post('/scrub', async ({ req, env: { exchange } }) => {
    const bytesPerSecond = wholeNumber('bytesPerSecond', req.query('bytesPerSecond') ?? '0')
    return respondJson(exchange, 200, await scrub({ bytesPerSecond, signal: exchange.signal }))
  })
  keyRoutes(app, keys)
  cacheRoutes(app, cache)
  transferRoutes(app, transfers)
  app.notFound(({ env }) => respondNowhere(env.exchange))
  app.onError((error, { env }) => respondError(env.exchange, error))
  return app
}

function wholeNumber(name: string, text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new RegistryError('invalid', 'UNSUPPORTED', `${name} is a whole number`)
}
