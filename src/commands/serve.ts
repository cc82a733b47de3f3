import { flushCompileCache } from 'node:module'
import { ConfigError, loadConfig } from '../config.ts'
import { publish } from '../telemetry/events.ts'
import { createLog, type Log, standardOutput } from '../telemetry/log.ts'
import { sharedOutput } from '../telemetry/shared-output.ts'
import { type Instance, openInstance } from './instance.ts'
import { surviveRejections } from './survival.ts'
import { version } from './version.ts'

/**
 * Serves until SIGTERM or SIGINT; a second one ends the process at once. SIGHUP puts the rules of the configuration,
 * read again, in force. Throws `ConfigError`, `DataDirInUse`, and what the system throws at the start.
 */
export async function serve(args: readonly string[]): Promise<number> {
  const config = loadConfig(args)
  using log = createLog(config.log.level, config.workers === 1 ? standardOutput() : sharedOutput())
  surviveRejections()
  const ending = signalled()
  const instance = await openInstance(config)
  const reloading = () => void reload(instance, args, log)
  process.on('SIGHUP', reloading)
  log.info({ version, url: instance.url, adminUrl: instance.adminUrl }, 'listening')
  const { firstKeyFile } = instance
  if (firstKeyFile !== undefined) log.info({ file: firstKeyFile }, 'an access key of an administrator was made')
  flushCompileCache() // the next start may follow a kill

  const signal = await ending
  log.info({ signal, drainMs: config.timeouts.drainMs }, 'stopping')
  process.off('SIGHUP', reloading)
  await instance.close()
  log.info({}, 'stopped')
  endSoon()
  return 0
}

/** Nothing is left to do: whoever stalls reading the log does not keep the process. */
const endSoon = () => void setTimeout(() => process.exit(), 1000).unref()

/** Resolves to the first signal to end; from then on the next one ends the process as signals do, with status 1. */
function signalled(): Promise<NodeJS.Signals> {
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>()
  let asked = false
  const receive = (signal: NodeJS.Signals) => {
    if (asked) process.exit(1)
    asked = true
    resolve(signal)
  }
  process.on('SIGTERM', receive)
  process.on('SIGINT', receive)
  return promise
}

async function reload(instance: Instance, args: readonly string[], log: Log): Promise<void> {
  try {
    const config = loadConfig(args)
    await instance.reload(config)
    log.info({ rules: config.rules.length }, 'rules reloaded')
  } catch (error) {
    const faults =
      error instanceof ConfigError ? { message: `rules not reloaded: ${error.faults.join('; ')}` } : { error }
    publish('cistern:fault', { where: 'process', kind: 'invalid', message: 'rules not reloaded', ...faults })
  }
}
