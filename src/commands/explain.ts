import { loadConfig } from '../config.ts'
import type { ExplainedUpstream, Explanation } from '../inspection/explanation.ts'
import type { LastAnswer } from '../inspection/last-answers.ts'
import type { Puller } from '../inspection/pullers.ts'
import { askInstance } from './control.ts'
import { atDesk } from './desk.ts'
import { only, parsed } from './options.ts'
import { printedCount, printedTable, printedTime } from './print.ts'

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

type Row = [label: string, text: string]

/** Of one label; what goes beyond is counted. */
const maxRows = 20

function printed(explanation: Explanation): string {
  const { repository, tag, digest, pull, why, againAt, pullers } = explanation
  const reason = [why, againAt === undefined ? undefined : `asked again from ${printedTime(againAt)} on`]
  const rows: Row[] = [
    ['image', `${repository}${tag === undefined ? '' : `:${tag}`}${digest ? `@${digest}` : ''}`],
    ['pull', [[pull, why].filter(isText).join(': '), ...reason.slice(1)].filter(isText).join('; ')],
    ...ruleRows(explanation),
    ...cacheRows(explanation),
    ...answerRows(explanation),
    ...some('may pull', pullers.map(printedPuller)),
  ]
  return printedTable(rows.map(([label, text], index) => [label === rows[index - 1]?.[0] ? '' : label, text]))
}

function ruleRows({ rule, prefixes, offline }: Explanation): Row[] {
  if (prefixes) return [['rule', `none; there are ${prefixes.join(', ') || 'no rules'}`]]
  if (!rule) return [['rule', 'none; what is cached is served']]
  const { prefix, source, upstreams, repository } = rule
  const origin = { builtin: 'built in', file: 'of the configuration', api: 'of the API' }[source]
  return [
    ['rule', `${prefix} (${origin})`],
    ['upstream', `${repository}${offline ? '; never asked, for this instance is offline' : ''}`],
    ...some('at', upstreams.map(placeOf)),
  ]
}

function placeOf({ upstream, credentials, proxy }: ExplainedUpstream): string {
  const way = proxy === undefined ? '' : proxy === 'none' ? ', through no proxy' : `, through ${proxy}`
  return `${upstream}, ${credentials.join(' or ') || 'without a credential'}${way}`
}

function cacheRows({ cached, damaged, freshness }: Explanation): Row[] {
  const rows: Row[] = []
  if (cached) {
    const { digest, mediaType, platforms = [], pulledAt } = cached
    rows.push(['cached', `${digest}, ${amount(cached)}`], ['type', mediaType])
    rows.push(
      ...some(
        'platform',
        platforms.map(({ platform, whole }) => `${platform}: ${whole ? 'whole' : 'not whole'}`),
      ),
    )
    rows.push(['pulled', pulledAt === undefined ? 'never' : printedTime(pulledAt)])
  } else rows.push(['cached', damaged ? `${damaged}, damaged on disk` : 'no'])
  if (freshness) {
    const { checkedAt, movedAt, dueAt } = freshness
    const imported = checkedAt === 0 // it came by a bundle: no upstream has confirmed it yet
    const due = dueAt === 'never' ? 'never due' : imported ? 'due at once' : `due ${printedTime(dueAt)}`
    rows.push(['checked', `${imported ? 'not yet' : printedTime(checkedAt)}; ${due}`])
    if (movedAt !== undefined) rows.push(['moved', printedTime(movedAt)])
  }
  return rows
}

function amount({ whole, missing }: NonNullable<Explanation['cached']>): string {
  if (whole) return 'whole'
  return missing > 0 ? `${printedCount(missing, 'blob')} missing` : 'in part'
}

function answerRows({ lastAnswer, failures = [], rule }: Explanation): Row[] {
  if (!rule) return []
  return [
    ['answer', lastAnswer ? printedAnswer(lastAnswer) : 'none remembered'],
    ...some(
      'failed',
      failures.map((failure) => `${failure.digest} ${printedAnswer(failure)}`),
    ),
  ]
}

const printedAnswer = ({ at, kind, message, digest }: LastAnswer): string =>
  `${printedTime(at)} ${[kind, message, kind === 'ok' ? digest : undefined].filter(isText).join(': ')}`

const printedPuller = ({ name, key, may, why }: Puller): string =>
  `${name}${key === undefined ? '' : ` (${key})`}: ${may}${why === undefined ? '' : `; ${why}`}`

function some(label: string, texts: readonly string[]): Row[] {
  const rows = texts.slice(0, maxRows).map((text): Row => [label, text])
  return texts.length > maxRows ? [...rows, [label, `and ${texts.length - maxRows} more, which --json lists`]] : rows
}

const isText = (text: string | undefined): text is string => text !== undefined && text !== ''
