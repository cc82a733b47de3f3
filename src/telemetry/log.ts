import { type Logger, pino, stdTimeFunctions } from 'pino'
import { describeError, printable, withoutSecrets } from './describe-error.ts'
import { type Events, subscribe } from './events.ts'

export type Level = 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** The log of the process: one JSON line for each event, and for what its owner says. Its owner disposes it. */
export type Log = Disposable & Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>

/** Where lines go. */
export type Destination = { write(line: string): void }

/** A reader of the log that stalls costs lines, not memory. In bytes. */
const maxBuffered = 8 * 1024 * 1024

export function createLog(level: Level, destination: Destination = stdout()): Log {
  const logger = pino(
    { level, base: null, timestamp: stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) } },
    destination,
  )
  const subscriptions = [
    subscribe('cistern:request', (event) => logRequest(logger, event)),
    subscribe('cistern:fault', ({ message, ...event }) => logger.warn(fields(event), text(message))),
    subscribe('cistern:fill', (event) => {
      if (event.phase === 'resumed') logger.warn(fields(event), 'a transfer from upstream was resumed')
    }),
    subscribe('cistern:scrub', ({ durationMs, ...event }) =>
      logger.info({ ...event, durationMs: Math.round(durationMs) }, 'the store was scrubbed'),
    ),
    subscribe('cistern:expiry', ({ durationMs, ...event }) => {
      const line = { ...fields(event), durationMs: Math.round(durationMs) }
      const level = event.images > 0 ? 'info' : 'debug'
      logger[level](line, 'a lifecycle policy was applied')
    }),
    subscribe('cistern:breaker', (event) => logger.warn(fields(event), `the breaker is ${event.state}`)),
  ]
  return {
    debug: logger.debug.bind(logger),
    info: logger.info.bind(logger),
    warn: logger.warn.bind(logger),
    error: logger.error.bind(logger),
    [Symbol.dispose]() {
      for (const unsubscribe of subscriptions) unsubscribe()
    },
  }
}

function logRequest(logger: Logger, { outcome, durationMs, ...event }: Events['cistern:request']): void {
  const cache = outcome && { cache: outcome.cache, ...(outcome.reason && { reason: outcome.reason }) }
  const line = { ...fields(event), durationMs: Math.round(durationMs * 10) / 10, ...cache }
  const failed = event.status >= 500 || (event.aborted && event.error !== undefined)
  if (failed) logger.warn(line, 'request')
  else logger.info(line, 'request')
}

/** The fields of an event as they stand in a line: text bounded and harmless, errors by what is known of them. */
const fields = (event: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(event).map(([name, value]) => {
      if (name === 'error') return [name, value === undefined ? undefined : describeError(value)]
      return [name, typeof value === 'string' ? text(value) : value]
    }),
  )

const text = (value: string): string => printable(withoutSecrets(value))

/** pino's own destination waits for ever at the end of the process where the reader of a pipe is gone. */
function stdout(): Destination {
  const { stdout } = process
  stdout.on('error', () => {}) // whoever read the log is gone; that is no reason to stop serving
  return {
    write(line) {
      if (stdout.writableLength < maxBuffered) stdout.write(line)
    },
  }
}
