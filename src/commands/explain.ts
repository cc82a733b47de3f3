import { loadConfig } from '../config.ts'
import type { Explanation } from '../inspection/explanation.ts'
import type { Puller } from '../inspection/pullers.ts'
import { askInstance } from './control.ts'
import { atDesk } from './desk.ts'
import { only, parsed } from './options.ts'
import { printedTable, printedTime } from './print.ts'

/** Says what is known of an image, and what a pull of it would do. Throws `ConfigError`, and what goes wrong. */
export async function explain(args: readonly string[]): Promise<number> {
  const { options, positionals, others } = parsed(args, { ask: { type: 'boolean' }, json: { type: 'boolean' } })
  const reference = only(positionals, 'explain', 'one reference, such as docker.io/library/nginx:1.29')
  const { ask = false, json = false } = options
  const config = loadConfig(others)
  const query = new URLSearchParams({ reference, ask: String(ask) })
  const answer = await askInstance(config.dataDir, `/explain?${query}`, 'GET')
  const explanation =
    (answer as Explanation | undefined) ?? (await atDesk(config, (desk) => desk.explain(reference, ask)))
  process.stdout.write(json ? `${JSON.stringify(explanation)}\n` : printed(explanation))
  return 0
}

function printed(explanation: Explanation): string {
  const { repository, tag, digest, pull, pullers } = explanation
  const rows = [
    ['image', `${repository}${tag === undefined ? '' : `:${tag}`}${digest ? `@${digest}` : ''}`],
    ['pull', pull],
    ...ruleRows(explanation),
    ...cacheRows(explanation),
    ...answerRows(explanation),
    ...pullers.map((puller): [string, string] => ['who', printedPuller(puller)]),
  ]
  return printedTable(
    rows.map(([name, ...rest], index) => [name === rows[index - 1]?.[0] ? '' : (name ?? ''), ...rest]),
  )
}

function ruleRows({ rule, prefixes, offline }: Explanation): [string, string][] {
  if (prefixes) return [['rule', `none: the name leads nowhere; prefixes are ${prefixes.join(', ')}`]]
  if (!rule) return [['rule', 'none: what is cached is served']]
  const { prefix, source, upstream, mirrors = [], repository, credentials } = rule
  return [
    ['rule', `${prefix} (${{ builtin: 'built in', file: 'of the configuration', api: 'of the API' }[source]})`],
    ['upstream', `${upstream}, as ${repository}${offline ? '; never asked, for this instance is offline' : ''}`],
    ...mirrors.map((mirror): [string, string] => ['mirror', mirror]),
    ...(credentials.length > 0 ? credentials : ['none']).map((name): [string, string] => ['credential', name]),
  ]
}

function cacheRows({ cached, freshness, tag }: Explanation): [string, string][] {
  const rows: [string, string][] = []
  if (!cached) rows.push(['cached', 'no'])
  else {
    const { digest, mediaType, whole, missing, platforms = [], pulledAt } = cached
    const state = whole ? 'whole' : missing > 0 ? `${missing} blobs are missing` : 'in part'
    rows.push(['cached', `${digest}, ${state}`], ['type', mediaType])
    for (const { platform, whole } of platforms) rows.push(['platform', `${platform}${whole ? '' : ', not whole'}`])
    rows.push(['pulled', pulledAt === undefined ? 'not yet' : printedTime(pulledAt)])
  }
  if (freshness) {
    const { checkedAt, movedAt, dueAt } = freshness
    const due = dueAt === 'never' ? 'never due' : `due ${printedTime(dueAt)}`
    rows.push(['tag', `${tag} checked ${printedTime(checkedAt)}, ${due}, there since ${printedTime(movedAt)}`])
  }
  return rows
}

function answerRows({ lastAnswer, rule }: Explanation): [string, string][] {
  if (!rule) return []
  if (!lastAnswer) return [['answer', 'none since the start']]
  const { at, kind, message, digest } = lastAnswer
  return [['answer', `${printedTime(at)} ${[kind, message, digest].filter((text) => text).join(': ')}`]]
}

const printedPuller = ({ name, key, may, why }: Puller): string =>
  `${name}${key === undefined ? '' : ` (${key})`}: ${may}${why === undefined ? '' : `; ${why}`}`
