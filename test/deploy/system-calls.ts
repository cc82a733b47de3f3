import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { root } from '../support/paths.ts'
import { run } from '../support/process.ts'
import { requireTool } from '../support/tools.ts'

/** The system calls that the unit allows, as a seccomp profile of containers. */
export async function unitProfile(): Promise<string> {
  const unit = await readFile(join(root, 'deploy', 'cistern.service'), 'utf8')
  const allowed = new Set<string>()
  for (const [, without, groups = ''] of unit.matchAll(/^SystemCallFilter=(~?)(.+)$/gm)) {
    for (const call of (await Promise.all(groups.split(' ').map(callsOf))).flat()) {
      if (without) allowed.delete(call)
      else allowed.add(call)
    }
  }
  for (const call of await callsOf('@default')) allowed.add(call) // which systemd always allows
  const syscalls = [{ names: [...allowed], action: 'SCMP_ACT_ALLOW' }]
  return JSON.stringify({ defaultAction: 'SCMP_ACT_ERRNO', syscalls })
}

async function callsOf(entry: string): Promise<string[]> {
  if (!entry.startsWith('@')) return [entry]
  const { stdout } = await run(requireTool('systemd-analyze'), ['--no-pager', 'syscall-filter', entry])
  const lines = stdout.split('\n').slice(1)
  const entries = lines.map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'))
  return (await Promise.all(entries.map(callsOf))).flat()
}
