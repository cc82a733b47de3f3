import { parseDuration } from '../config/units.ts'
import { type Config, ConfigError, loadConfig } from '../config.ts'
import { isKind } from '../oci/errors.ts'
import { platformsOf } from '../transfer/request.ts'
import { imagesNamed } from '../transfer/sources/source.ts'
import type { WarmEvent, WarmRequest } from '../transfer/warm.ts'
import { linesOf, requestInstance } from './control.ts'
import { interruptible } from './interrupt.ts'
import { parsed } from './options.ts'
import { atTransfers } from './transfer.ts'
import { type Display, inLines, onTerminal, type Summary } from './warm-display.ts'

const own = {
  platform: { type: 'string', multiple: true },
  referrers: { type: 'boolean' },
  concurrency: { type: 'string' },
  wait: { type: 'string' },
  json: { type: 'boolean' },
} as const

/**
 * Has images fetched before somebody pulls them, by the running instance or by itself where none runs. Resolves to 1
 * unless all are whole in the end. Throws `ConfigError`, and what goes wrong on the way.
 */
export async function warming(args: readonly string[]): Promise<number> {
  const { options, positionals, others } = parsed(args, own)
  if (positionals.length === 0) throw new ConfigError(['warm is followed by images, or by files that list them'])
  const { platform = [], referrers = false, concurrency = '4', wait = '1m', json = false } = options
  const limits = { concurrency: numberOf('concurrency', concurrency), patienceMs: durationOf('wait', wait) }
  const platforms = await asUsage(async () => platformsOf(platform))
  const config = loadConfig(others)
  const { references, faults } = await asUsage(() => imagesNamed(positionals, process.stdin))
  for (const fault of faults) process.stderr.write(`cistern: ${fault}\n`)
  if (references.length === 0) throw new Error('there is no image to warm')
  const display = (process.stdout.isTTY && !json ? onTerminal : inLines)(process.stdout, () => performance.now())
  const whole = await run({ references, platforms, referrers, ...limits }, config, display)
  return whole && faults.length === 0 ? 0 : 1
}

async function run(request: WarmRequest, config: Config, display: Display): Promise<boolean> {
  const summary: Summary = { fetched: 0, here: 0, failed: 0, deferred: 0, bytes: 0 }
  const take = async (events: AsyncIterable<WarmEvent>) => {
    for await (const event of events) {
      display.show(event)
      if (event.event !== 'item') continue
      summary[event.state]++
      summary.bytes += event.bytes
    }
  }
  await interruptible((signal) => warmBy(request, config, signal, take)).finally(() => display.end(summary))
  return summary.fetched + summary.here === request.references.length
}

async function warmBy(
  request: WarmRequest,
  config: Config,
  signal: AbortSignal,
  take: (events: AsyncIterable<WarmEvent>) => Promise<void>,
): Promise<void> {
  const response = await requestInstance(
    config.dataDir,
    '/warm',
    { method: 'POST', headers: { 'Content-Type': 'application/json' }, signal },
    (asking) => void asking.end(JSON.stringify(request)),
  )
  if (response) await take(linesOf(response) as AsyncIterable<WarmEvent>)
  else await atTransfers(config, (transfers) => take(transfers.warm(request, signal)))
}

/** What is wrong with what was typed, or with a file, is a matter of usage. */
async function asUsage<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    throw isKind(error, 'invalid') ? new ConfigError([error.message]) : error
  }
}

function numberOf(name: string, text: string): number {
  if (/^[1-9]\d?$/.test(text) && Number(text) <= 64) return Number(text)
  throw new ConfigError([`--${name} is a number from 1 to 64`])
}

function durationOf(name: string, text: string): number {
  const ms = parseDuration(text)
  if (ms !== undefined) return ms
  throw new ConfigError([`--${name} is a duration, like 30s or 5m`])
}
