import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { CisternProcess } from './cistern.ts'
import { root } from './paths.ts'

/** Runs a command of the product on the configuration of a process under test, and tells how it ended. */
export async function command(cistern: CisternProcess, name: string, ...args: string[]) {
  const config = ['--config', join(cistern.directory, 'cistern.yaml')]
  const child = spawn(process.execPath, [join(root, 'src', 'main.ts'), name, ...args, ...config], {
    cwd: cistern.directory,
    env: { PATH: process.env.PATH },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
  })
  const [stdout, stderr, [status]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  return { status: status as number | null, stdout, stderr }
}
