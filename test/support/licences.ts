import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './paths.ts'

/** Permissive licences by their SPDX names: they ask for no more than that their text is kept. */
const allowed = new Set([
  '0BSD',
  'Apache-2.0',
  'BlueOak-1.0.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'CC0-1.0',
  'ISC',
  'MIT',
  'MIT-0',
  'Python-2.0',
  'Unlicense',
  'Zlib',
])

/** Tools of ours that are neither shipped nor changed, under terms that bind only those who change them. */
const tools = [
  { name: /^lightningcss(-|$)/, license: 'MPL-2.0' }, // the test runner's bundler brings it
]

type Package = { license?: string; dev?: boolean; link?: boolean }

/** Whether the terms of an SPDX expression can be met by permissive licences alone. */
export function isPermissive(expression: string): boolean {
  const alternatives = expression.replace(/[()]/g, ' ').split(/\s+OR\s+/)
  return alternatives.some((terms) => terms.split(/\s+AND\s+/).every((term) => allowed.has(term.trim())))
}

/** Names each package of a lock file, with its licence, whose licence is not permissive. */
export function offenders(packages: Record<string, Package>): string[] {
  return Object.entries(packages)
    .filter(([path, { link }]) => path !== '' && !link)
    .map(([path, entry]) => ({
      ...entry,
      name: path.replace(/^.*node_modules\//, ''),
      license: entry.license ?? 'none',
    }))
    .filter(({ license, name, dev }) => !isPermissive(license) && !(dev && isKnownTool(name, license)))
    .map(({ name, license }) => `${name}: ${license}`)
}

const isKnownTool = (name: string, license: string): boolean =>
  tools.some((tool) => tool.name.test(name) && tool.license === license)

if (import.meta.main) {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, Package>
  }
  const found = offenders(lock.packages)
  for (const line of found) process.stderr.write(`not a permissive licence: ${line}\n`)
  if (found.length > 0) process.exitCode = 1
}
