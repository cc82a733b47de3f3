/** A file of the sources: its path below `src/`, and what it says. */
export type SourceFile = { path: string; text: string }

/** What files may import: folders and files of ours below `src/`, and packages or built-in modules by pattern. */
export type Allowance = { ours: readonly string[]; packages: readonly (string | RegExp)[] }

/** By the folder, or the one file, whose files it binds; the longest that fits a path decides. */
export type Table = Record<string, Allowance | 'anything'>

const longestFile = 300

/** Names each breach of `table` and of the house rules, by file. */
export function violations(files: readonly SourceFile[], table: Table): string[] {
  return files.flatMap((file) =>
    [...importViolations(file, table), ...styleViolations(file)].map((what) => `${file.path}: ${what}`),
  )
}

function importViolations({ path, text }: SourceFile, table: Table): string[] {
  const place = Object.keys(table)
    .filter((entry) => covers(entry, path))
    .sort((a, b) => b.length - a.length)[0]
  if (place === undefined) return ['stands in no folder of the table']
  const allowance = table[place]
  if (allowance === undefined || allowance === 'anything') return []
  return importsOf(text)
    .filter((target) => !isAllowed(path, place, target, allowance))
    .map((target) => `imports ${target}`)
}

function isAllowed(path: string, place: string, target: string, { ours, packages }: Allowance): boolean {
  if (!target.startsWith('.'))
    return packages.some((known) => (typeof known === 'string' ? isOf(known, target) : known.test(target)))
  const inside = resolvePath(path, target)
  return inside !== undefined && [place, ...ours].some((entry) => covers(entry, inside))
}

function styleViolations({ path, text }: SourceFile): string[] {
  const code = withoutComments(text)
  const lines = text.split('\n').length - 1
  return [
    ...(lines > longestFile ? [`has ${lines} lines, more than ${longestFile}`] : []),
    ...(/^export default\b|\bas default\b/m.test(code) ? ['exports a default'] : []),
    ...(/\bprocess\s*\.\s*env\b|\bimport\s*\{[^}]*\benv\b[^}]*\}\s*from\s*'node:process'/.test(code) &&
    !/^config[./]/.test(path)
      ? ['reads process.env']
      : []),
    ...(/\bconsole\s*\./.test(code) ? ['writes to the console'] : []),
  ]
}

/** The modules that static and dynamic imports and re-exports name. */
export function importsOf(text: string): string[] {
  const code = withoutComments(text)
  const statements = code.matchAll(/^\s*(?:import|export)\b(?:[^'"`;]*?\bfrom)?\s*['"]([^'"]+)['"]/gm)
  const expressions = code.matchAll(/\bimport\(\s*['"`]([^'"`]+)['"`]/g)
  return [...statements, ...expressions].map((match) => match[1] ?? '')
}

const withoutComments = (text: string): string => text.replace(/\/\*[\s\S]*?\*\/|(?<![:'"`\\])\/\/.*$/gm, '')

/** A folder covers what is below it, a file itself. */
const covers = (entry: string, path: string): boolean => (entry.endsWith('/') ? path.startsWith(entry) : path === entry)

const isOf = (name: string, target: string): boolean => target === name || target.startsWith(`${name}/`)

/** `undefined` for what leads out of the sources. */
function resolvePath(from: string, target: string): string | undefined {
  const base = new URL(from, 'src:///src/')
  const { pathname } = new URL(target, base)
  return pathname.startsWith('/src/') ? pathname.slice('/src/'.length) : undefined
}
