import { Hono } from 'hono/tiny'
import type { HttpEnv } from './exchange.ts'
import { type OciOptions, ociApp } from './oci/app.ts'
import { respondError, respondNowhere, type ThrottledStatus } from './oci/errors.ts'

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
  app.notFound(({ env }) => respondNowhere(env.exchange))
  app.onError((error, { env }) => respondError(env.exchange, error, throttledStatus))
  return app
}
