import type { Hono } from 'hono/tiny'
import type { HttpEnv } from '../exchange.ts'
import { respondJson } from '../oci/respond.ts'
import { respondLines } from './lines.ts'

/** What commands ask about a cache and have done to it. Answers are plain JSON. References are as people write them. */
export type CacheControl = {
  /** `ask`: upstream may be asked. */
  explain: (reference: string, ask: boolean) => Promise<object>
  refresh: (reference: string) => Promise<object>
  repositories: (prefix: string) => AsyncIterable<object>
  images: (prefix: string) => AsyncIterable<object>
  stats: () => Promise<object>
  /** Those in force, and nothing secret of them. */
  rules: () => object
  purge: (name: string) => Promise<object>
}

export function cacheRoutes(app: Hono<HttpEnv>, cache: CacheControl): void {
  app.get('/explain', async ({ req, env: { exchange } }) =>
    respondJson(exchange, 200, await cache.explain(req.query('reference') ?? '', req.query('ask') === 'true')),
  )
  app.post('/refresh', async ({ req, env: { exchange } }) =>
    respondJson(exchange, 200, await cache.refresh(req.query('reference') ?? '')),
  )
  app.get('/repositories', ({ req, env: { exchange } }) =>
    respondLines(exchange, cache.repositories(req.query('prefix') ?? '')),
  )
  app.get('/images', ({ req, env: { exchange } }) => respondLines(exchange, cache.images(req.query('prefix') ?? '')))
  app.get('/stats', async ({ env: { exchange } }) => respondJson(exchange, 200, await cache.stats()))
  app.get('/rules', ({ env: { exchange } }) => respondJson(exchange, 200, cache.rules()))
  app.post('/purge', async ({ req, env: { exchange } }) =>
    respondJson(exchange, 200, await cache.purge(req.query('name') ?? '')),
  )
}
