import { Hono } from 'hono/tiny'
import { type EcrOptions, ecrApp } from './ecr/app.ts'
import type { HttpEnv } from './exchange.ts'
import { type OciOptions, ociApp } from './oci/app.ts'
import { respondError, respondNowhere, type ThrottledStatus } from './oci/errors.ts'

export type AppOptions = OciOptions & {
  /** What a client is told when an upstream is out of quota. */
  throttledStatus: ThrottledStatus
  /** The control API; absent, there is none. */
  ecr?: Omit<EcrOptions, keyof OciOptions>
}

/** What `listen` serves. */
export type App = Pick<Hono<HttpEnv>, 'fetch'>

/** All that is served on the data port. */
export function createApp({ throttledStatus, ecr, ...options }: AppOptions): App {
  const app = new Hono<HttpEnv>()
  if (ecr) app.route('/', ecrApp({ ...ecr, ...options }))
  app.route('/', ociApp(options))
  app.notFound(({ env }) => respondNowhere(env.exchange))
  app.onError((error, { env }) => respondError(env.exchange, error, throttledStatus))
  return app
}
