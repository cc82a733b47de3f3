import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Hono } from 'hono/tiny'
import type { Body } from '../../oci/registry.ts'
import type { Exchange, HttpEnv } from '../exchange.ts'
import { respondJson } from '../oci/respond.ts'
import { readJson } from './body.ts'
import { respondLines } from './lines.ts'

/** How images travel by way of commands. Reports are plain JSON. */
export type TransferControl = {
  /** The bundle is disposed by whoever gets it. */
  export: (asked: unknown) => Promise<{ report: object; bundle?: Body }>
  /** `repository` is for what has no whole name in the bundle. The signal is aborted when the command is gone. */
  import: (
    bundle: AsyncIterable<Uint8Array>,
    options: { repository: string | undefined; signal: AbortSignal },
  ) => Promise<object>
  /** Throws where what is asked for is wrong, and ends the work with the signal. */
  warm: (asked: unknown, signal: AbortSignal) => AsyncIterable<object>
}

export function transferRoutes(app: Hono<HttpEnv>, transfers: TransferControl): void {
  app.post('/export', async ({ env: { exchange } }) => {
    const { report, bundle } = await transfers.export(await readJson(exchange))
    return respondBundle(exchange, report, bundle)
  })
  app.post('/import', async ({ req, env: { exchange } }) => {
    const { incoming, signal } = exchange
    const bundle = incoming.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>
    return respondJson(exchange, 200, await transfers.import(bundle, { repository: req.query('name'), signal }))
  })
  app.post('/warm', async ({ env: { exchange } }) =>
    respondLines(exchange, transfers.warm(await readJson(exchange), exchange.signal)),
  )
}

/** A line of JSON, and the bundle behind it. What goes wrong with the bundle breaks the connection. */
async function respondBundle(exchange: Exchange, report: object, bundle: Body | undefined): Promise<Response> {
  const { outgoing, signal } = exchange
  await using _owned = bundle
  const write = (chunk: Uint8Array | string) =>
    new Promise<void>((resolve, reject) => {
      const gone = () => reject(signal.reason)
      signal.addEventListener('abort', gone, { once: true })
      outgoing.write(chunk, (error) => {
        signal.removeEventListener('abort', gone)
        if (error) reject(error)
        else resolve()
      })
    })
  try {
    outgoing.writeHead(200, { 'Content-Type': 'application/octet-stream' })
    await write(`${JSON.stringify(report)}\n`)
    await bundle?.sendTo({ write }, signal)
    exchange.answered = true
    outgoing.end()
  } catch (error) {
    exchange.breakOff(error)
  }
  return RESPONSE_ALREADY_SENT
}
