import { accessSync, constants } from 'node:fs'
import { installDebianPackages } from '../test/support/install-debian.ts'

const needed = [
  { program: '/usr/bin/docker-registry', package: 'docker-registry' },
  { program: '/usr/sbin/nginx', package: 'nginx-light' },
] as const

/** Installs, as root and by apt, what is missing; services in these packages are not started. Throws where it cannot. */
export async function installTools(): Promise<void> {
  const missing = needed.filter(({ program }) => !isExecutable(program)).map((tool) => tool.package)
  if (missing.length === 0) return
  if (process.getuid?.() !== 0) throw new Error(`not installed: ${missing.join(', ')}; as root they would be installed`)
  await installDebianPackages(missing)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
