import { execFileSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { cacheDirectory } from './paths.ts'

/** Real programs that suites run. What is not here is skipped, or installed first where that is asked for. */
export const debianPackages = [
  { package: 'docker-registry', tools: ['docker-registry'], needs: 'upstreams of the client suites' },
  { package: 'apache2-utils', tools: ['htpasswd'], needs: 'upstreams with basic authentication' },
  { package: 'openssl', tools: ['openssl'], needs: 'upstreams with token authentication' },
  { package: 'busybox-static', tools: ['busybox'], needs: 'an image made from a Debian package' },
  { package: 'umoci', tools: ['umoci'], needs: 'an image made from a Debian package' },
  { package: 'skopeo', tools: ['skopeo'], needs: 'client suites' },
  { package: 'podman', tools: ['podman'], needs: 'client suites' },
  { package: 'buildah', tools: ['buildah'], needs: 'client suites' },
  { package: 'runc', tools: ['runc'], needs: 'the image, started' },
  { package: 'containerd', tools: ['containerd', 'ctr'], needs: 'client suites' },
  { package: 'curl', tools: ['curl'], needs: 'the tour of the README' },
  { package: 'bsdutils', tools: ['script'], needs: 'the walk of docs/air-gap.md' },
  { package: 'golang-go', tools: ['go'], needs: 'the conformance suite, helm and the reader of compose files' },
  { package: 'python3-venv', tools: ['python3'], needs: 'the AWS CLI, the stand-in for AWS, kubernetes-validate' },
  { package: 'prometheus', tools: ['promtool'], needs: 'the alerts and the dashboard' },
  { package: 'systemd', tools: ['systemd-analyze'], needs: 'the systemd unit' },
] as const

/** Made under `.cache` by the set-up. */
export const builtTools = {
  conformance: join(cacheDirectory, 'conformance', 'conformance.test'),
  olareg: join(cacheDirectory, 'conformance', 'olareg'),
  moto_server: join(cacheDirectory, 'moto', 'bin', 'moto_server'),
  aws: join(cacheDirectory, 'awscli', 'bin', 'aws'),
  helm: join(cacheDirectory, 'deploy', 'helm'),
  compose: join(cacheDirectory, 'deploy', 'compose'),
  'kubernetes-validate': join(cacheDirectory, 'kubernetes-validate', 'bin', 'kubernetes-validate'),
} as const

export type Tool = (typeof debianPackages)[number]['tools'][number] | keyof typeof builtTools

/** The first Go that builds helm. */
const oldestGo = [1, 25] as const

/** Where `tool` is, or `undefined`. Daemons stand in directories that PATH may lack. */
export function findTool(tool: Tool): string | undefined {
  if (Object.hasOwn(builtTools, tool)) {
    const built = builtTools[tool as keyof typeof builtTools]
    if (isExecutable(built)) return built
    if (tool !== 'aws') return undefined // any other AWS CLI of version 1 does as well
  }
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/local/go/bin']
  const found = directories.map((directory) => join(directory, tool)).find(isExecutable)
  const accepts = demands.get(tool)
  return found && accepts && !accepts(found) ? undefined : found
}

export const missingTools = (tools: readonly Tool[]): Tool[] => tools.filter((tool) => !findTool(tool))

/** Throws where `tool` is missing. */
export function requireTool(tool: Tool): string {
  const found = findTool(tool)
  if (!found) throw new Error(`${tool} is not installed, or too old`)
  return found
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function isRecentGo(path: string): boolean {
  const version = /go(\d+)\.(\d+)/.exec(execFileSync(path, ['version'], { encoding: 'utf8' }))
  const [major = 0, minor = 0] = version?.slice(1).map(Number) ?? []
  return major > oldestGo[0] || (major === oldestGo[0] && minor >= oldestGo[1])
}

/** Version 2 lacks `get-login`. */
const isFirstAws = (path: string): boolean =>
  execFileSync(path, ['--version'], { encoding: 'utf8' }).startsWith('aws-cli/1.')

/** What a tool that is found on PATH has to be. */
const demands: ReadonlyMap<Tool, (path: string) => boolean> = new Map([
  ['go', isRecentGo],
  ['aws', isFirstAws],
])
