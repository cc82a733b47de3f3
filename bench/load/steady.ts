import { execFileSync } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { answer, drive } from './child.ts'
import { Connection } from './connection.ts'

export type SteadyTask = {
  /** An origin. */
  url: string
  path: string
  connections: number
  perSecond: number
  seconds: number
}

/** When a request was due, in milliseconds since the epoch, and how long after that its answer was whole. */
export type Timing = { dueAt: number; latencyMs: number }

/**
 * Asks at a fixed rate, whether answers come or not. A request that finds every connection busy waits, and its wait
 * counts: a server that stalls is charged with all who would have come meanwhile, not with the few who got through.
 */
export const timeSteadily = (task: SteadyTask): Promise<Timing[]> =>
  drive('steady.ts', task, task.seconds * 1000 + 60_000)

export async function askSteadily(task: SteadyTask): Promise<Timing[]> {
  const { url, path, connections, perSecond, seconds } = task
  const buffer = Buffer.allocUnsafeSlow(64 * 1024)
  const opened = await Promise.all(Array.from({ length: connections }, () => Connection.open(url, buffer)))
  const free = [...opened]
  const due: number[] = []
  const timings: Timing[] = []
  const finished = Promise.withResolvers<void>()
  const total = perSecond * seconds

  const askOn = async (connection: Connection, dueAt: number) => {
    const { status, endedAt } = await connection.ask({ path })
    if (status !== 200) throw new Error(`GET ${path}: ${status}`)
    timings.push({ dueAt: performance.timeOrigin + dueAt, latencyMs: endedAt - dueAt })
    if (timings.length === total) finished.resolve()
    const next = due.shift()
    if (next === undefined) free.push(connection)
    else start(connection, next)
  }
  const start = (connection: Connection, dueAt: number) => void askOn(connection, dueAt).catch(finished.reject)
  const begin = performance.now()
  const asking = async () => {
    for (let asked = 0; asked < total; ) {
      // Due is what the clock says when this process gets to run: that its own timer was late is not the server's fault.
      const now = performance.now()
      for (; asked < total && begin + (asked * 1000) / perSecond <= now; asked++) {
        const connection = free.pop()
        if (connection) start(connection, now)
        else due.push(now)
      }
      await delay(1)
    }
  }
  await Promise.all([asking(), finished.promise])
  for (const connection of opened) connection[Symbol.dispose]()
  return timings
}

/**
 * Others on this processor would be taken for slowness of the server: with any lesser priority the scheduler lets them
 * finish their slices of milliseconds first. Only root may.
 */
function hurry(): void {
  try {
    execFileSync('chrt', ['--all-tasks', '--fifo', '--pid', '1', String(process.pid)], { stdio: 'ignore' })
  } catch {
    return
  }
}

if (import.meta.main) {
  hurry()
  await answer(askSteadily)
}
