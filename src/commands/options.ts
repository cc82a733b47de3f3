import { parseArgs } from 'node:util'
import { flagName, singleKeys } from '../config/keys.ts'
import { ConfigError } from '../config.ts'

/** An option of one command; any of them may be given once, unless it is `multiple`. */
export type Option = { type: 'string' | 'boolean'; multiple?: true }

type Value<O extends Option> = O extends { type: 'boolean' }
  ? boolean
  : O extends { multiple: true }
    ? string[]
    : string

export type Parsed<O extends Record<string, Option>> = {
  options: { [K in keyof O]?: Value<O[K]> }
  positionals: string[]
  /** What sets keys of the configuration. */
  others: string[]
}

const configOptions = {
  config: { type: 'string' },
  ...Object.fromEntries(
    singleKeys.map(({ path, kind }) => [flagName(path), { type: kind === 'boolean' ? 'boolean' : 'string' } as const]),
  ),
} as const

/**
 * Parts what is meant for a command from what sets keys of the configuration. An option of the command hides a key of
 * that name. Throws `ConfigError`.
 */
export function parsed<const O extends Record<string, Option>>(args: readonly string[], own: O): Parsed<O> {
  try {
    const options: Record<string, Option> = { ...configOptions, ...own }
    const { values, positionals, tokens } = parseArgs({
      args: [...args],
      options,
      allowPositionals: true,
      allowNegative: true,
      tokens: true,
    })
    const others = tokens.flatMap((token) => {
      if (token.kind !== 'option' || Object.hasOwn(own, token.name)) return []
      return token.value === undefined ? [token.rawName] : [`--${token.name}=${token.value}`]
    })
    const mine = Object.fromEntries(Object.entries(values).filter(([name]) => Object.hasOwn(own, name)))
    return { options: mine as Parsed<O>['options'], positionals, others }
  } catch (error) {
    throw new ConfigError([(error as Error).message])
  }
}

/** The one positional argument. Throws `ConfigError` where there is another number of them. */
export function only(positionals: readonly string[], command: string, what: string): string {
  const [first, ...rest] = positionals
  if (first === undefined || rest.length > 0) throw new ConfigError([`${command} is followed by ${what}`])
  return first
}
