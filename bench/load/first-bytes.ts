import { answer, drive } from './child.ts'
import { Connection } from './connection.ts'

/** One blob after the other, each from one of the origins. */
export type FirstBytesTask = { origins: string[]; fetches: { origin: string; path: string }[] }

/** From the question to the first byte of the body, in milliseconds, in the order of the fetches. */
export const timeFirstBytes = (task: FirstBytesTask): Promise<number[]> => drive('first-bytes.ts', task, 180_000)

async function work({ origins, fetches }: FirstBytesTask): Promise<number[]> {
  const buffer = Buffer.allocUnsafeSlow(256 * 1024)
  const connections = new Map<string, Connection>()
  for (const origin of origins) connections.set(origin, await Connection.open(origin, buffer))
  const times: number[] = []
  for (const { origin, path } of fetches) {
    const startedAt = performance.now()
    const answered = await connections.get(origin)?.ask({ path })
    if (answered?.status !== 200) throw new Error(`GET ${path}: ${answered?.status}`)
    times.push(answered.firstByteAt - startedAt)
  }
  for (const connection of connections.values()) connection[Symbol.dispose]()
  return times
}

if (import.meta.main) await answer(work)
