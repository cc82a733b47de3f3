import { ConfigError, loadConfig } from '../config.ts'
import type { RuleStats, Stats, UpstreamStats } from '../inspection/stats.ts'
import { askInstance } from './control.ts'
import { atDesk } from './desk.ts'
import { parsed } from './options.ts'
import { printedCount, printedSize, printedTable, printedTime } from './print.ts'

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

function printed({ bytes, objects, maxBytes, since, rules, upstreams = [] }: Stats): string {
  const stored = `${printedSize(bytes)} of ${printedSize(maxBytes)} in ${printedCount(objects, 'object')}\n`
  const counted =
    since === undefined ? 'no instance runs: nothing is counted\n' : `counted since ${printedTime(since)}\n`
  const ruleHeading = ['RULE', 'REPOSITORIES', 'OBJECTS', 'SIZE', 'HITS', 'MISSES', 'JOINED', 'SENT']
  const upstreamHeading = ['UPSTREAM', 'REQUESTS', 'PULLED']
  return [
    stored,
    counted,
    ...(rules.length > 0 ? [`\n${printedTable([ruleHeading, ...rules.map(ruleRow)])}`] : []),
    ...(upstreams.length > 0 ? [`\n${printedTable([upstreamHeading, ...upstreams.map(upstreamRow)])}`] : []),
  ].join('')
}

const ruleRow = ({ prefix, repositories, objects, bytes, hits, misses, joined, sentBytes }: RuleStats): string[] => [
  prefix || '(none)',
  String(repositories),
  String(objects),
  printedSize(bytes),
  ...[hits, misses, joined].map((count) => (count === undefined ? '-' : String(count))),
  sentBytes === undefined ? '-' : printedSize(sentBytes),
]

const upstreamRow = ({ upstream, requests, pulledBytes }: UpstreamStats): string[] => [
  upstream,
  String(requests),
  printedSize(pulledBytes),
]
