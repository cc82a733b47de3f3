import type { Hono } from 'hono/tiny'
import { AccessKeyError } from '../../access/access-key.ts'
import { type KeyRing, revealed } from '../../access/keys.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { HttpEnv } from '../exchange.ts'
import { respondJson } from '../oci/respond.ts'

/** Access keys: made, listed, revoked. The answer to the first is the one that holds a secret. */
export function keyRoutes(app: Hono<HttpEnv>, keys: Pick<KeyRing, 'create' | 'list' | 'revoke'>): void {
  app.post('/keys', async ({ req, env: { exchange } }) => {
    const { user = '', policy: policies = [] } = { user: req.query('user'), policy: req.queries('policy') }
    return respondJson(exchange, 200, revealed(await blamingTheAsker(keys.create({ user, policies }))))
  })
  app.get('/keys', ({ env: { exchange } }) => respondJson(exchange, 200, { keys: keys.list() }))
  app.delete('/keys/:id', async ({ req, env: { exchange } }) =>
    respondJson(exchange, 200, { revoked: await blamingTheAsker(keys.revoke(req.param('id'))) }),
  )
}

/** What is wrong with a key is told as it is. */
async function blamingTheAsker<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw error instanceof AccessKeyError ? new RegistryError('invalid', 'UNSUPPORTED', error.message) : error
  }
}
