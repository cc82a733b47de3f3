import { Hono } from 'hono/tiny'
import { unsupported } from '../../oci/errors.ts'
import type { App } from '../app.ts'
import type { HttpEnv } from '../exchange.ts'
import { respondError, respondNowhere } from '../oci/errors.ts'
import { respond, respondJson } from '../oci/respond.ts'

/** Whether this instance can do its work, and what that was judged by. Upstreams are no part of it. */
export type Readiness = { ready: boolean; checks: Record<string, unknown> }

export type AdminOptions = {
  ready: () => Promise<Readiness>
  metrics: () => Promise<{ contentType: string; body: string }>
}

/** What operators and orchestrators ask, on a port of its own. */
export function adminApp({ ready, metrics }: AdminOptions): App {
  const app = new Hono<HttpEnv>()
  app.use('*', ({ env: { exchange } }, next) => {
    const { method } = exchange.incoming
    if (method !== 'GET' && method !== 'HEAD') throw unsupported('probes and metrics are read-only')
    return next()
  })
  app.get('/livez', ({ env }) => respondJson(env.exchange, 200, { live: true }))
  app.get('/startupz', ({ env }) => respondJson(env.exchange, 200, { started: true }))
  app.get('/readyz', async ({ env }) => {
    const readiness = await ready()
    return respondJson(env.exchange, readiness.ready ? 200 : 503, readiness)
  })
  app.get('/metrics', async ({ env }) => {
    const { contentType, body } = await metrics()
    const bytes = Buffer.from(body)
    return respond(env.exchange, {
      status: 200,
      headers: { 'Content-Type': contentType },
      length: bytes.byteLength,
      body: bytes,
    })
  })
  app.notFound(({ env }) => respondNowhere(env.exchange))
  app.onError((error, { env }) => respondError(env.exchange, error))
  return app
}
