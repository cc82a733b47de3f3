import { getRequestListener } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { App } from './app.ts'
import type { Exchange } from './exchange.ts'
import { type Answering, type Listener, type ListenOptions, type Place, type ServeOptions, serve } from './server.ts'

/** Serves `app` at an address. */
export const listen = (app: App, { host, port, ...options }: ListenOptions): Promise<Listener> =>
  serveAt({ host, port }, app, options)

/** Serves `app` at an address or on a UNIX socket. */
export const serveAt = (place: Place, app: App, options: ServeOptions): Promise<Listener> =>
  serve(place, answering(app), options)

function answering(app: App): Answering {
  const exchanges = new WeakMap<object, Exchange>()
  const answer = getRequestListener(
    async (request, env) => {
      const exchange = exchanges.get(env.incoming)
      try {
        return await app.fetch(request, { ...env, exchange })
      } catch (error) {
        exchange?.breakOff(error)
        return RESPONSE_ALREADY_SENT
      }
    },
    { overrideGlobalObjects: false, autoCleanupIncoming: false },
  )
  return async (exchange) => {
    const { incoming, outgoing } = exchange
    exchanges.set(incoming, exchange)
    incoming.headers.host = 'localhost' // what the client calls us shapes nothing from here on
    await answer(incoming, outgoing)
  }
}
