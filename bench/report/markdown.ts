import { doubts, isNullTest, type Row, type Target, type Verdict } from '../finding.ts'
import { figure, spread, times } from './format.ts'
import type { Run } from './run.ts'

const words: Record<Verdict, string> = {
  aim: 'aim reached',
  must: 'must met',
  short: '**short**',
  holds: 'holds',
  broken: '**broken**',
}

export function markdown(run: Run): string {
  const compared = run.rows.filter((row) => !isNullTest(row))
  return [
    '# Cistern against its peers',
    judgement(run.rows),
    '![Ratios to the peers](report.svg)',
    '## Results',
    table(compared),
    '## Null tests',
    'A peer against itself, by the same method. The method is trusted to the part by which these miss 1.',
    table(run.rows.filter(isNullTest)),
    '## How to read it',
    howToRead,
    '## Notes',
    notes(run.rows),
    '## The run',
    circumstances(run),
  ]
    .filter((part) => part !== '')
    .join('\n\n')
    .concat('\n')
}

function judgement(rows: readonly Row[]): string {
  const reasons = doubts(rows)
  if (reasons.length > 0) return `**This run is not valid.** ${reasons.join('; ')}.`
  const short = rows.filter(({ verdict }) => verdict === 'short')
  if (short.length === 0) return 'Every measure is met. The null tests hold.'
  return `The null tests hold. Short of what they must be: ${short.map(({ id }) => `\`${id}\``).join(', ')}.`
}

function table(rows: readonly Row[]): string {
  if (rows.length === 0) return 'None was run.'
  const lines = [
    '| Measure | Cistern | Peer | Ratio | Must | Aim | Verdict |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...rows.map(line),
  ]
  return lines.join('\n')
}

function line({ id, title, unit, our, their, ratio, peer, target, verdict }: Row): string {
  const cells = [
    `${title} \`${id}\``,
    `${spread(our)} ${unit}`,
    peer && their ? `${peer.name}: ${spread(their)}` : '–',
    ratio ? spread(ratio, times) : '–',
    ...bounds(target, ratio ? times : figure),
    words[verdict],
  ]
  return `| ${cells.join(' | ')} |`
}

function bounds(target: Target, format: (value: number) => string): [string, string] {
  if ('within' in target) return [target.within.map(format).join('–'), '–']
  const sign = target.direction === 'at least' ? '≥' : '≤'
  return [`${sign} ${format(target.must)}`, `${sign} ${format(target.aim)}`]
}

const notes = (rows: readonly Row[]): string =>
  rows
    .filter(({ notes }) => notes && notes.length > 0)
    .map(({ id, notes = [] }) => `- \`${id}\`: ${notes.join('; ')}.`)
    .join('\n')

const howToRead = `Figures are medians over the rounds, with the least and the most. A ratio is Cistern's figure divided by the
peer's, round by round: above 1 is better for rates, below 1 for times and for work. Where there is no peer the figure
itself is judged. Ratios hold for this machine; figures of another run are not to be compared with these.
[README.md](README.md) says what each row is, and what limits it.`

function circumstances({ date, command, scale, generator, seconds, machine }: Run): string {
  const { processor, processors, memoryGiB, kernel, system, versions } = machine
  const rows: [string, string][] = [
    ['Date', date],
    ['Command', `\`${command}\``],
    ['Form', `${scale}, ${Math.round(seconds)} s`],
    ['Load', `${generator} for GET; own clients for HEAD, blobs and latency`],
    ['Machine', `${processors} × ${processor}, ${memoryGiB} GiB`],
    ['System', `${system}, Linux ${kernel}`],
    ...Object.entries(versions),
  ]
  return ['| | |', '| --- | --- |', ...rows.map(([name, value]) => `| ${name} | ${value} |`)].join('\n')
}
