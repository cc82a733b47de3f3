import { type Logger, pino, stdTimeFunctions } from 'pino'
import { describeError, printable, withoutSecrets } from './describe-error.ts'
import { type Events, subscribe } from './events.ts'
import { RequestLines } from './request-line.ts'

export type Level = 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** The log of the process: one JSON line for each event, and for what its owner says. Its owner disposes it. */
export type Log = Disposable & Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>

/** Where lines go. */
export type Destination = { write(line: string): void }

/** A reader of the log that stalls costs lines, not memory. In bytes. */
export const maxBuffered = 8 * 1024 * 1024

export function createLog(level: Level, destination: Destination = standardOutput()): Log {
  const logger = pino(
    { level, base: null, timestamp: stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) } },
    destination,
  )
  const requests = new RequestLines()
  const subscriptions = [
    subscribe('cistern:request', (event) => {
      const level = isFailure(event) ? 'warn' : 'info'
      if (logger.isLevelEnabled(level)) destination.write(requests.line(level, event))
    }),
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
    subscribe('cistern:certificate', ({ file, replaced, expiresAt }) => {
      const line = { file, expiresAt: new Date(expiresAt).toISOString() }
      if (replaced) logger.info(fields(line), 'another certificate is served to new connections')
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

const isFailure = ({ status, aborted, error }: Events['cistern:request']): boolean =>
  status >= 500 || (aborted && error !== undefined)

/** The fields of an event as they stand in a line: text bounded and harmless, errors by what is known of them. */
const fields = (event: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(event).map(([name, value]) => {
      if (name === 'error') return [name, value === undefined ? undefined : describeError(value)]
      return [name, typeof value === 'string' ? text(value) : value]
    }),
  )

const text = (value: string): string => printable(withoutSecrets(value))

/** How long lines are gathered that are then written at once, in milliseconds. A process that is killed loses these. */
export const gatherMs = 5

/** So much is written without waiting for more, in characters. */
const fullAt = 64 * 1024

/**
 * Gathers lines for a moment and writes them at once: to write is dearer than to answer a hit. pino's own destination
 * waits for ever at the end of the process where the reader of a pipe is gone.
 */
export function standardOutput(): Destination {
  const { stdout } = process
  stdout.on('error', () => {}) // whoever read the log is gone; that is no reason to stop serving
  let lines = ''
  let gathering: NodeJS.Timeout | undefined
  const flush = () => {
    clearTimeout(gathering)
    gathering = undefined
    if (lines !== '' && stdout.writableLength < maxBuffered) stdout.write(lines)
    lines = ''
  }
  process.on('exit', flush)
  return {
    write(line) {
      lines += line
      if (lines.length > fullAt) flush()
      else gathering ??= setTimeout(flush, gatherMs)
    },
  }
}
