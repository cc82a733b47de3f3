import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { isAlias, isMap, isScalar, LineCounter, parseDocument } from 'yaml'
import { environmentName, flagName, type Key, singleKeys } from './keys.ts'

/** What one may call an entry of a tree: keys of maps and indices of lists. */
export type Path = readonly (string | number)[]

export type Tree = { [key: string]: unknown }

/** A configuration file, not yet checked against the schema. */
export type FileSource = {
  tree: Tree
  faults: string[]
  /** `file:line:column` of the entry, or of what comes nearest to it; of the key itself with `key`. */
  locate(path: Path, key?: string): string
}

export type Environment = Readonly<Record<string, string | undefined>>

export const noFile: FileSource = { tree: {}, faults: [], locate: () => 'configuration' }

/**
 * Faults name places and the parser's code, never text of the file: it may hold a password.
 */
export function readConfigFile(file: string): FileSource {
  const nothing = { ...noFile, locate: () => file }
  const lines = new LineCounter()
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    return { ...nothing, faults: [`${file}: cannot be read (${(error as NodeJS.ErrnoException).code})`] }
  }
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const at = (offset: number) => `${file}:${lines.linePos(offset).line}:${lines.linePos(offset).col}`
  const broken = [...document.errors, ...document.warnings]
  if (broken.length > 0) {
    const faults = broken.map(({ code, pos }) => `${at(pos[0])}: not YAML (${code.toLowerCase().replaceAll('_', ' ')})`)
    return { ...nothing, faults }
  }
  const locate = (path: Path, key?: string): string => {
    for (let length = path.length; length >= 0; length--) {
      const node = document.getIn(path.slice(0, length), true)
      const own =
        length === path.length && isMap(node) ? node.items.find((pair) => String(pair.key) === key)?.key : null
      const range = (isScalar(own) ? own : (node as { range?: [number, number, number] } | undefined))?.range
      if (range) return at(range[0])
    }
    return file
  }
  try {
    const tree: unknown = document.toJS() ?? {}
    if (!isTree(tree)) return { ...nothing, faults: [`${file}: must be a map of keys`] }
    if (Array.isArray(tree.rules)) tree.rules = tree.rules.map(keepOrderOfTagTtl)
    return { tree, faults: [], locate }
  } catch {
    return { ...nothing, faults: [`${file}: not YAML (bad alias)`] }
  }

  /** JavaScript moves keys that look like numbers, as tags do, to the front; and 1.10 is no number but a tag. */
  function keepOrderOfTagTtl(rule: unknown, index: number): unknown {
    if (!isTree(rule) || !isTree(rule.tagTtl)) return rule
    const found = document.getIn(['rules', index, 'tagTtl'], true)
    const node = isAlias(found) ? found.resolve(document) : found
    if (!isMap(node)) return { ...rule, tagTtl: new Map(Object.entries(rule.tagTtl)) }
    const entries = node.items.map(({ key, value }): [string, unknown] => [
      isScalar(key) ? (key.source ?? String(key.value)) : String(key),
      isScalar(value) ? value.value : undefined,
    ])
    return { ...rule, tagTtl: new Map(entries) }
  }
}

/** Values of single keys, and under which name each was given. */
export type Overlay = { values: Map<string, unknown>; names: Map<string, string> }

/** An empty variable counts as unset. Other `CISTERN_` variables pass: Kubernetes makes some for a service's name. */
export function readEnvironment(env: Environment): Overlay {
  const overlay: Overlay = { values: new Map(), names: new Map() }
  for (const key of singleKeys) {
    const name = environmentName(key.path)
    const text = env[name]
    if (text !== undefined && text !== '') put(overlay, key, name, text)
  }
  return overlay
}

/** Throws what `parseArgs` throws on an unknown flag, with a message for the user. */
export function readFlags(args: readonly string[]): Overlay & { file: string | undefined } {
  const options = Object.fromEntries(
    singleKeys.map(({ path, kind }) => [flagName(path), { type: kind === 'boolean' ? 'boolean' : 'string' } as const]),
  )
  const { values } = parseArgs({
    args: [...args],
    options: { ...options, config: { type: 'string' } },
    allowNegative: true,
  })
  const given = values as Record<string, string | boolean | undefined>
  const overlay: Overlay = { values: new Map(), names: new Map() }
  for (const key of singleKeys) {
    const name = flagName(key.path)
    const value = given[name]
    if (value !== undefined) put(overlay, key, `--${name}`, value)
  }
  return { ...overlay, file: values.config as string | undefined }
}

/** A copy of `tree` with the overlay's values in their places. */
export function overlaid(tree: Tree, overlay: Overlay): Tree {
  const copy = structuredClone(tree)
  for (const [path, value] of overlay.values) {
    const names = path.split('.')
    const last = names.pop() ?? ''
    let section: Tree | undefined = copy
    for (const name of names) {
      section[name] ??= {}
      section = isTree(section[name]) ? section[name] : undefined
      if (!section) break
    }
    if (section) section[last] = value
  }
  return copy
}

export const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Map)

function put({ values, names }: Overlay, { path, kind }: Key, name: string, given: string | boolean): void {
  const boolean = given === 'true' ? true : given === 'false' ? false : given
  const number = typeof given === 'string' && /^\d+$/.test(given) ? Number(given) : given
  values.set(path, kind === 'boolean' ? boolean : kind === 'number' ? number : given)
  names.set(path, name)
}
