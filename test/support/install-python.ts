import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheDirectory } from './paths.ts'
import { run } from './process.ts'
import { requireTool } from './tools.ts'

/** A local stand-in for AWS. */
export const installMoto = () => install('moto', 'moto[server,secretsmanager]==5.2.5')

/** Version 1: it alone has `get-login`, and takes URLs among parameters for something to fetch. */
export const installAwsCli = () => install('awscli', 'awscli==1.45.11')

/** Brings the schemas of Kubernetes with it. */
export const installKubernetesValidate = () => install('kubernetes-validate', 'kubernetes-validate==1.37.0')

/** Into a Python environment of its own under `.cache`. */
async function install(name: string, requirement: string): Promise<void> {
  const environment = join(cacheDirectory, name)
  await rm(environment, { recursive: true, force: true })
  await run(requireTool('python3'), ['-m', 'venv', environment], { timeoutMs: 120_000 })
  const pip = ['-m', 'pip', 'install', '--quiet', requirement]
  await run(join(environment, 'bin', 'python'), pip, { timeoutMs: 600_000 })
}
