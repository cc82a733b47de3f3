import type { Lacks } from '../transfer/parts.ts'

/** A time as people and programs read it. */
export const printedTime = (at: number): string => new Date(at).toISOString().replace(/\.\d{3}Z$/, 'Z')

/** Bytes in the largest unit of which there is one: `1.5 GiB`. */
export function printedSize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const step = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10))
  return `${step === 0 ? bytes : (bytes / 2 ** (10 * step)).toFixed(1)} ${units[step]}`
}

const lacksPrinted = 3

/** Some of what is missing, and how much more there is. */
export function printedLacks({ missing, missingCount = missing.length }: Lacks): string {
  const named = missing
    .slice(0, lacksPrinted)
    .map(({ platform, digest }) => [platform, digest].filter(Boolean).join(' '))
  const more = missingCount - named.length
  return `${named.join(', ')}${more > 0 ? ` and ${more} more` : ''} ${missingCount === 1 ? 'is' : 'are'} missing`
}

/** `1 image`, `2 images`. */
export const printedCount = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`

/** Text for a terminal: what would move its cursor, or end the line, is shown as an escape. */
export const printable = (text: string): string =>
  text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`)

/** Rows with their columns below each other. */
export function printedTable(rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map(printable))
  const widths: number[] = []
  for (const row of cells) {
    for (const [column, text] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, text.length)
  }
  const line = (row: readonly string[]) => row.map((text, column) => text.padEnd(widths[column] ?? 0)).join('  ')
  return cells.map((row) => `${line(row).trimEnd()}\n`).join('')
}
