import { isNullTest, type Row, type Target, type Verdict } from '../finding.ts'
import { figure, times } from './format.ts'

const width = 960
const labelWidth = 400
const valueWidth = 150
const rowHeight = 30
const top = 56
const barHeight = 14

/** The scale ends here; a longer bar has a mark at its end. */
const most = 2

const colours: Record<Verdict, string> = {
  aim: '#1a7f37',
  must: '#4c9be8',
  short: '#cf222e',
  holds: '#8c959f',
  broken: '#cf222e',
}

/**
 * How far each measure is from what it must be: 1 is just met, longer is better, for rates and for times alike. Null
 * tests are not shown.
 */
export function picture(rows: readonly Row[]): string {
  const bars = rows.filter((row) => !isNullTest(row)).map((row, index) => bar(row, top + index * rowHeight))
  const height = top + bars.length * rowHeight + 16
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="13">`,
    '<title>Cistern against its peers</title>',
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(16, 24, 'How far each measure is beyond what it must be', 'font-weight="bold" font-size="15"'),
    text(
      16,
      42,
      'Right of the line is met; a tick is the aim. Ratios beside the bars are to the peer.',
      'fill="#57606a"',
    ),
    ...bars,
    `<line x1="${x(1)}" y1="${top - 4}" x2="${x(1)}" y2="${height - 12}" stroke="#24292f" stroke-width="1.5"/>`,
    '</svg>',
    '',
  ].join('\n')
}

function bar({ title, our, ratio, unit, target, verdict }: Row, y: number): string {
  const value = ratio?.median ?? our.median
  const length = score(value, target)
  const middle = y + rowHeight / 2
  const end = x(Math.min(length, most))
  const label = ratio ? times(value) : `${figure(value)} ${unit}`
  return [
    text(labelWidth - 8, middle + 4, withoutMarks(title), 'text-anchor="end"'),
    `<rect x="${x(0)}" y="${middle - barHeight / 2}" width="${end - x(0)}" height="${barHeight}" fill="${colours[verdict]}"/>`,
    'aim' in target ? tick(x(Math.min(score(target.aim, target), most)), middle) : '',
    text(width - valueWidth + 12, middle + 4, length > most ? `${label} →` : label),
  ].join('')
}

/** How many times what it must be, the other way round where less is better. */
export function score(value: number, target: Target): number {
  if ('within' in target) return value
  if (target.direction === 'at least') return value / target.must
  return value === 0 ? most : target.must / value
}

const x = (score: number): number => labelWidth + (score / most) * (width - labelWidth - valueWidth)

const tick = (at: number, middle: number): string =>
  `<line x1="${at}" y1="${middle - barHeight}" x2="${at}" y2="${middle + barHeight}" stroke="#57606a" stroke-dasharray="2 2"/>`

const text = (at: number, y: number, content: string, attributes = ''): string =>
  `<text x="${at}" y="${y}" ${attributes}>${escaped(content)}</text>`

const withoutMarks = (title: string): string => title.replaceAll('`', '')

const escaped = (content: string): string =>
  content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
