import { Hono } from 'hono/tiny'
import { nameUnknown } from '../oci/errors.ts'
import type { HttpEnv } from './exchange.ts'
import { type OciOptions, ociApp } from './oci/app.ts'
import { respondError, type ThrottledStatus } from './oci/errors.ts'

export type AppOptions = OciOptions & {
  /** What a client is told when an upstream is out of quota. */
  throttledStatus: ThrottledStatus
}

/** What `listen` serves. */
export type App = Pick<Hono<HttpEnv>, 'fetch'>

/** All that is served on the data port. */
export function createApp({ throttledStatus, ...options }: AppOptions): App {
  const app = new Hono<HttpEnv>()
  app.route('/', ociApp(options))
  app.notFound(({ env }) => respondError(env.exchange, nameUnknown('of that path')))
  app.onError((error, { env }) => respondError(env.exchange, error, throttledStatus))
  return app
}
