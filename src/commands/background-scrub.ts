import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Scrubber } from '../cache/scrub.ts'
import type { Config } from '../config.ts'
import { publish } from '../telemetry/events.ts'

/** How often it is looked whether a scrub is due, at least: a clock may jump, and no timer waits for a month. */
const maxPauseMs = 60 * 60_000

/**
 * Scrubs the store whenever `scrub.interval` has passed since that was last done, by this process or an earlier one.
 * Its owner disposes it, which ends a scrub that runs.
 */
export async function scrubInBackground(scrubber: Scrubber, { dataDir, scrub }: Config): Promise<Disposable> {
  const { interval, bytesPerSecond } = scrub
  if (interval === 0) return { [Symbol.dispose]: () => {} }
  const record = join(dataDir, 'scrubbed-at')
  const ending = new AbortController()
  let lastAt = (await recorded(record)) ?? (await stat(dataDir)).birthtimeMs
  let running = false

  const scrubIfDue = async () => {
    const sinceMs = Date.now() - lastAt
    if (running || (sinceMs >= 0 && sinceMs < interval)) return
    running = true
    try {
      await scrubber.run({ bytesPerSecond, signal: ending.signal })
      lastAt = Date.now()
      await writeFile(record, new Date(lastAt).toISOString())
    } catch (error) {
      if (ending.signal.aborted) return
      publish('cistern:fault', { where: 'blobs', kind: 'internal', message: 'a scrub in the background failed', error })
    } finally {
      running = false
    }
  }

  void scrubIfDue()
  const timer = setInterval(scrubIfDue, Math.min(interval, maxPauseMs)).unref()
  return {
    [Symbol.dispose]() {
      clearInterval(timer)
      ending.abort()
    },
  }
}

async function recorded(path: string): Promise<number | undefined> {
  const at = Date.parse(await readFile(path, 'utf8').catch(() => ''))
  return Number.isNaN(at) ? undefined : at
}
