import { ConfigError, loadConfig } from '../config.ts'
import type { RuleStats, Stats } from '../inspection/stats.ts'
import { askInstance } from './control.ts'
import { atDesk } from './desk.ts'
import { parsed } from './options.ts'
import { printedSize, printedTable, printedTime } from './print.ts'

/** Says what is stored, and what that spared upstreams. Throws `ConfigError`, and what goes wrong on the way. */
export async function stats(args: readonly string[]): Promise<number> {
  const { options, positionals, others } = parsed(args, { json: { type: 'boolean' } })
  if (positionals.length > 0) throw new ConfigError(['stats is followed by nothing but options'])
  const config = loadConfig(others)
  const answer = await askInstance(config.dataDir, '/stats', 'GET')
  const told = (answer as Stats | undefined) ?? (await atDesk(config, (desk) => desk.stats()))
  process.stdout.write(options.json ? `${JSON.stringify(told)}\n` : printed(told))
  return 0
}

function printed({ bytes, objects, maxBytes, since, rules }: Stats): string {
  const stored = `${printedSize(bytes)} of ${printedSize(maxBytes)} in ${objects} objects\n`
  const counted =
    since === undefined ? 'no instance runs: nothing is counted\n' : `counted since ${printedTime(since)}\n`
  const heading = ['RULE', 'REPOSITORIES', 'OBJECTS', 'SIZE', 'HITS', 'MISSES', 'SAVED', 'SENT', 'UPSTREAM', 'PULLED']
  return `${stored}${counted}${printedTable([heading, ...rules.map(row)])}`
}

const row = ({ prefix, repositories, objects, bytes, hits, misses, savedRequests, sentBytes, asked }: RuleStats) => [
  prefix || '(none)',
  String(repositories),
  String(objects),
  printedSize(bytes),
  ...[hits, misses, savedRequests].map(printedCount),
  sentBytes === undefined ? '-' : printedSize(sentBytes),
  printedCount(asked?.requests),
  asked ? printedSize(asked.pulledBytes) : '-',
]

const printedCount = (count: number | undefined): string => (count === undefined ? '-' : String(count))
