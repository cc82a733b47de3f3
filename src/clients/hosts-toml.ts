import { certificateFiles, certificateNames } from './certificates.ts'
import { type ClientFile, type Endpoint, mark, ownFile, quoted, type Setup } from './client.ts'
import type { Mirror } from './mirrors.ts'

/**
 * A directory with a hosts.toml for each registry, as containerd and what stands on it read it. Those before 2.0 leave
 * alone a file without a `[host]` table.
 *
 * https://github.com/containerd/containerd/blob/main/docs/hosts.md
 */
export function hostsDirectory(client: string, directory: string, setup: Setup): ClientFile[] {
  const { endpoint, mirrors } = setup
  const within = (registry: string, name: string) => `${directory}/${registry}/${name}`
  return [
    ...mirrors.map((mirror) => ownFile(within(mirror.registry, 'hosts.toml'), mark(client) + hostsToml(mirror, setup))),
    ...(isUnusual(endpoint) ? [ownFile(within(endpoint.host, 'hosts.toml'), mark(client) + ownToml(endpoint))] : []),
    ...certificateFiles(endpoint, (name) => within(endpoint.host, certificateNames[name])),
  ]
}

function hostsToml(mirror: Mirror, { endpoint, fallsBack }: Setup): string {
  const { byNamespace, prefix, server } = mirror
  const url = byNamespace ? endpoint.url : `${endpoint.url}/v2/${prefix}`
  const terms = [
    'capabilities = ["pull", "resolve"]',
    ...(byNamespace ? [] : ['override_path = true']),
    ...(fallsBack ? ['dial_timeout = "1s"'] : []),
    ...trust(endpoint),
  ]
  const head = fallsBack ? [`server = ${quoted(server)}`] : [`server = ${quoted(url)}`, ...terms]
  return lines([...head, '', `[host.${quoted(url)}]`, ...terms.map((term) => `  ${term}`)])
}

/** For images that are named by the instance itself. Without a word clients take it to speak HTTPS. */
function ownToml(endpoint: Endpoint): string {
  const terms = ['capabilities = ["pull", "resolve"]', ...trust(endpoint)].map((term) => `  ${term}`)
  return lines([`server = ${quoted(endpoint.url)}`, '', `[host.${quoted(endpoint.url)}]`, ...terms])
}

const isUnusual = ({ isPlain, isLoopback, ca, identity }: Endpoint): boolean =>
  (isPlain && !isLoopback) || ca !== undefined || identity !== undefined

/** Paths are relative to the hosts.toml: the directory is that of another machine, at times. */
function trust({ host, ca, identity }: Endpoint): string[] {
  const path = (name: keyof typeof certificateNames) => quoted(`../${host}/${certificateNames[name]}`)
  return [
    ...(ca ? [`ca = ${path('ca')}`] : []),
    ...(identity ? [`client = [[${path('certificate')}, ${path('key')}]]`] : []),
  ]
}

const lines = (all: string[]): string => all.map((line) => `${line}\n`).join('')
