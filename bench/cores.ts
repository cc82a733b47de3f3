import { execFileSync } from 'node:child_process'
import { availableParallelism } from 'node:os'

/** A list of processors, as taskset reads it. */
export type Cores = string

export const cores = {
  /** The server that is measured, alone. */
  server: '0',
  /** All others: load, upstream, and the process that directs them. */
  load: '1',
  both: '0,1',
} as const satisfies Record<string, Cores>

/** The program and its arguments that run another one on these processors; it keeps its process id. */
export const pinned = (on: Cores, command: string, args: readonly string[]): [string, string[]] => [
  'taskset',
  ['-c', on, command, ...args],
]

/** Leaves the server's core to the server. Throws where there are not two. */
export function pinThisProcess(): void {
  if (availableParallelism() < 2) throw new Error('two processors are needed: one for the server, one for the load')
  execFileSync('taskset', ['-acp', cores.load, String(process.pid)], { stdio: 'ignore' })
}
