import { printConfig } from '../config/print.ts'
import { loadConfig } from '../config.ts'

/** Prints what is in effect, secrets left out. Throws `ConfigError`. */
export async function checkConfig(args: readonly string[]): Promise<number> {
  process.stdout.write(printConfig(loadConfig(args)))
  return 0
}
