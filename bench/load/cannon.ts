import autocannon from 'autocannon'
import { answer, drive } from './child.ts'
import type { RateResult, RateTask } from './rate.ts'

export const fireCannon = (task: RateTask): Promise<RateResult> =>
  drive('cannon.ts', task, task.seconds * 1000 + 30_000)

async function work({ url, path, headers, connections, seconds }: RateTask): Promise<RateResult> {
  const options = { url: `${url}${path}`, connections, duration: seconds, ...(headers && { headers }) }
  const { requests, duration, errors, timeouts, non2xx } = await autocannon(options)
  if (errors + timeouts + non2xx > 0) {
    throw new Error(`GET ${path}: ${errors} errors, ${timeouts} timeouts, ${non2xx} answers other than 2xx`)
  }
  return { requests: requests.total, seconds: duration }
}

if (import.meta.main) await answer(work)
