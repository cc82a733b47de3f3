import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { root } from './paths.ts'

/** Runs `cistern client-config` for a user whose home is `home`, in that directory, and tells how it ended. */
export async function clientConfig(home: string, ...args: string[]) {
  const child = spawn(process.execPath, [join(root, 'src', 'main.ts'), 'client-config', ...args], {
    cwd: home,
    env: { PATH: process.env.PATH, HOME: home },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 30_000,
  })
  const [stdout, stderr, [status]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  return { status: status as number | null, stdout, stderr }
}

/** The same where nothing is to go wrong; resolves to what is printed. */
export async function clientConfigured(home: string, ...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await clientConfig(home, ...args)
  if (status !== 0) throw new Error(`client-config ${args.join(' ')} ended with ${status}:\n${stdout}${stderr}`)
  return stdout
}
