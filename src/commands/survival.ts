import { publish } from '../telemetry/events.ts'

/**
 * A rejection that nobody handled belongs to one piece of work, and the others go on. After an exception that nobody
 * caught the state is unknown: the process ends, and whoever supervises it starts another one. What is committed
 * survives that by design.
 */
export function surviveRejections(): void {
  process.on('unhandledRejection', (error) => {
    publish('cistern:fault', { where: 'process', kind: 'internal', message: 'a rejection was not handled', error })
  })
  process.on('uncaughtException', (error) => {
    publish('cistern:fault', { where: 'process', kind: 'internal', message: 'an exception was not caught', error })
    process.exit(1)
  })
}
