import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import type { Endpoint, SourceFile } from '../clients/client.ts'
import { isLoopback, parseAddress } from '../config/address.ts'
import { type Config, ConfigError } from '../config.ts'
import { parseOrigin } from '../rules/origin.ts'

/** How an instance is to be reached, as flags say it: all but `url` are paths of files. */
export type EndpointAsked = {
  /** `publicUrl` by default. */
  url: string | undefined
  ca: string | undefined
  certificate: string | undefined
  key: string | undefined
}

/** Throws `ConfigError`. */
export function endpointOf({ url: given, ca, certificate, key }: EndpointAsked, { publicUrl }: Config): Endpoint {
  const url = given === undefined ? publicUrl : parseOrigin(given)
  if (url === undefined)
    throw new ConfigError(['--url: must be host[:port], which means https, or http(s)://host[:port]'])
  const { host, hostname, protocol, port } = new URL(url)
  const address = parseAddress(`${hostname}:${port || '443'}`)
  if (['0.0.0.0', '[::]'].includes(hostname) || port === '0') {
    throw new ConfigError([`clients cannot go to ${url}: say by --url or publicUrl how they reach this instance`])
  }
  if (hostname.split('.').includes('')) throw new ConfigError([`${url} names no host`])
  const isPlain = protocol === 'http:'
  if (isPlain && (ca !== undefined || certificate !== undefined)) {
    throw new ConfigError([`${url} has no certificates: --url is wanted with https`])
  }
  if ((certificate === undefined) !== (key === undefined)) {
    throw new ConfigError(['--client-cert and --client-key go together'])
  }
  return {
    ...{ url, host, isPlain, isLoopback: address !== undefined && isLoopback(address) },
    ...(ca !== undefined && { ca: certificates('--ca', ca) }),
    ...(certificate !== undefined && key !== undefined && { identity: identityOf(certificate, key) }),
  }
}

/** Copies of it are for everybody to read. */
function certificates(flag: string, path: string): SourceFile {
  const file = fileOf(flag, path)
  if (file.text.includes('PRIVATE KEY-----')) throw new ConfigError([`${flag}: ${path} holds a key, which it must not`])
  try {
    new X509Certificate(file.text)
    return file
  } catch {
    throw new ConfigError([`${flag}: ${path} holds no certificate in PEM`])
  }
}

function identityOf(certificatePath: string, keyPath: string) {
  const [certificate, key] = [certificates('--client-cert', certificatePath), fileOf('--client-key', keyPath)]
  try {
    createSecureContext({ cert: certificate.text, key: key.text })
    return { certificate, key }
  } catch {
    throw new ConfigError([`--client-key: ${keyPath} is not the key to ${certificatePath}`])
  }
}

function fileOf(flag: string, path: string): SourceFile {
  try {
    return { path, text: readFileSync(path, 'utf8') }
  } catch (error) {
    throw new ConfigError([`${flag}: ${path} cannot be read (${(error as NodeJS.ErrnoException).code})`])
  }
}
