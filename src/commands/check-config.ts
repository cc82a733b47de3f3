import { printConfig } from '../config/print.ts'
import { loadConfig } from '../config.ts'
import { openCertificate } from './certificate.ts'

/** Prints what is in effect, secrets left out. Throws `ConfigError`. */
export async function checkConfig(args: readonly string[]): Promise<number> {
  const config = loadConfig(args)
  await openCertificate(config)
  process.stdout.write(printConfig(config))
  return 0
}
