import { setTimeout as delay } from 'node:timers/promises'
import { answer, drive } from './child.ts'
import { Connection } from './connection.ts'
import type { RateResult, RateTask } from './rate.ts'

/** Neither wrk nor autocannon knows that the answer to HEAD has no body: they wait for it for ever. */
export const askHeads = (task: RateTask): Promise<RateResult> => drive('heads.ts', task, task.seconds * 1000 + 30_000)

async function work({ url, path, headers, connections, seconds }: RateTask): Promise<RateResult> {
  const buffer = Buffer.allocUnsafeSlow(64 * 1024)
  const opened = await Promise.all(Array.from({ length: connections }, () => Connection.open(url, buffer)))
  let requests = 0
  let ended = false
  const startedAt = performance.now()
  const askOn = async (connection: Connection) => {
    while (!ended) {
      const { status } = await connection.ask({ method: 'HEAD', path, ...(headers && { headers }) })
      if (status !== 200) throw new Error(`HEAD ${path}: ${status}`)
      requests++
    }
  }
  const asking = Promise.all(opened.map(askOn))
  await Promise.race([asking, delay(seconds * 1000)])
  ended = true
  await asking
  const elapsed = (performance.now() - startedAt) / 1000
  for (const connection of opened) connection[Symbol.dispose]()
  return { requests, seconds: elapsed }
}

if (import.meta.main) await answer(work)
