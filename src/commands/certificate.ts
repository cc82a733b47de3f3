import { type Config, ConfigError } from '../config.ts'
import { Certificate } from '../http/certificate.ts'

/** What the data port proves itself with, where it does. Throws `ConfigError` where the files cannot be served. */
export async function openCertificate({ tls }: Config): Promise<Certificate | undefined> {
  if (!tls) return undefined
  try {
    return await Certificate.open(tls)
  } catch (cause) {
    throw new ConfigError([`tls: ${(cause as Error).message}`])
  }
}
