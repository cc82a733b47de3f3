import { chmod, rename, rm, writeFile } from 'node:fs/promises'
import { run } from './process.ts'

const policyFile = '/usr/sbin/policy-rc.d'
const keptPolicyFile = `${policyFile}.before-cistern-tests`

/**
 * Needs root and apt. Services that come with the packages are denied their start: docker-registry would take port
 * 5000 for itself.
 */
export async function installDebianPackages(packages: readonly string[]): Promise<void> {
  const hadPolicy = await rename(policyFile, keptPolicyFile).then(() => true, ignoreMissing)
  try {
    await writeFile(policyFile, '#!/bin/sh\nexit 101\n')
    await chmod(policyFile, 0o755)
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    await run('apt-get', ['update', '-q'], { env, timeoutMs: 300_000 })
    const install = ['install', '-q', '-y', '--no-install-recommends', ...packages]
    await run('apt-get', install, { env, timeoutMs: 900_000 })
  } finally {
    await rm(policyFile, { force: true })
    if (hadPolicy) await rename(keptPolicyFile, policyFile)
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): false {
  if (error.code === 'ENOENT') return false
  throw error
}
