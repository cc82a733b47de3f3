import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheDirectory } from './paths.ts'
import { run } from './process.ts'
import { requireTool } from './tools.ts'

const version = '5.2.5'

/** A local stand-in for AWS, in a Python environment of its own. */
export async function installMoto(): Promise<void> {
  const environment = join(cacheDirectory, 'moto')
  await rm(environment, { recursive: true, force: true })
  await run(requireTool('python3'), ['-m', 'venv', environment], { timeoutMs: 120_000 })
  const pip = ['-m', 'pip', 'install', '--quiet', `moto[server,secretsmanager]==${version}`]
  await run(join(environment, 'bin', 'python'), pip, { timeoutMs: 600_000 })
}
