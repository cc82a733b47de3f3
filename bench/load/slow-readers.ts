import { setTimeout as delay } from 'node:timers/promises'
import { answer, drive } from './child.ts'
import { Connection } from './connection.ts'

export type SlowReadersTask = {
  /** An origin. */
  url: string
  path: string
  connections: number
  /** By each reader. */
  bytesPerSecond: number
  seconds: number
}

/** What each reader has got, in bytes. */
export const readSlowly = (task: SlowReadersTask): Promise<number[]> =>
  drive('slow-readers.ts', task, task.seconds * 1000 + 60_000)

const turnMs = 50

async function work(task: SlowReadersTask): Promise<number[]> {
  const { url, path, connections, seconds } = task
  const buffer = Buffer.allocUnsafeSlow(64 * 1024)
  const opened = await Promise.all(Array.from({ length: connections }, () => Connection.open(url, buffer)))
  const broken = Promise.withResolvers<never>()
  for (const connection of opened) {
    connection.readUpTo(1)
    connection.ask({ path }).catch(broken.reject)
  }
  await Promise.race([broken.promise, readInTurns(opened, task, performance.now() + seconds * 1000)])
  const received = opened.map((connection) => connection.received)
  for (const connection of opened) connection[Symbol.dispose]()
  return received
}

async function readInTurns(connections: Connection[], task: SlowReadersTask, until: number): Promise<void> {
  const begin = performance.now()
  for (let now = begin; now < until; now = performance.now()) {
    const due = ((now - begin) / 1000) * task.bytesPerSecond
    for (const connection of connections) connection.readUpTo(due)
    await delay(turnMs)
  }
}

if (import.meta.main) await answer(work)
