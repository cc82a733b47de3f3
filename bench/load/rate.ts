import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fireCannon } from './cannon.ts'
import { askHeads } from './heads.ts'
import { runWrk } from './wrk.ts'

/** As many requests as there can be, one after the other on each connection. */
export type RateTask = {
  /** An origin. */
  url: string
  path: string
  headers?: Record<string, string>
  connections: number
  seconds: number
}

/** How many requests were answered right, in which time. */
export type RateResult = { requests: number; seconds: number }

export const generators = ['wrk', 'autocannon'] as const

export type Generator = (typeof generators)[number]

/** wrk where it is installed: at these rates autocannon would be what is measured. */
export const bestGenerator = (): Generator => (isInstalled('wrk') ? 'wrk' : 'autocannon')

/** Throws where an answer is not right. */
export function load(task: RateTask & { method: 'GET' | 'HEAD' }, generator: Generator): Promise<RateResult> {
  if (task.method === 'HEAD') return askHeads(task)
  return generator === 'wrk' ? runWrk(task) : fireCannon(task)
}

function isInstalled(command: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, command), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
