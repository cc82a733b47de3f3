import { parseArgs } from 'node:util'
import { type Generator, generators } from './load/rate.ts'

export type Options = {
  short: boolean
  /** Ids of measures; absent, all. */
  only?: string[]
  profile: boolean
  generator?: Generator
}

export const usage = (ids: readonly string[]): string =>
  `Usage: npm run bench -- [--short] [--only <measure,…>] [--generator ${generators.join('|')}] [--profile]

  --short      a few rounds of everything, in less than three minutes
  --only       these measures, and the null tests of their kind
  --generator  what drives requests; by default wrk where it is installed, else autocannon
  --profile    takes a processor profile of each Cistern; goes with --only

Measures: ${ids.join(', ')}
`

/** Throws, with a message for whoever typed it, where it is not right. */
export function readOptions(args: readonly string[], ids: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      short: { type: 'boolean', default: false },
      only: { type: 'string' },
      profile: { type: 'boolean', default: false },
      generator: { type: 'string' },
    },
  })
  const only = values.only?.split(',')
  const unknown = only?.filter((id) => !ids.includes(id)) ?? []
  if (unknown.length > 0) throw new Error(`no such measure: ${unknown.join(', ')}`)
  const generator = generators.find((name) => name === values.generator)
  if (values.generator !== undefined && !generator) throw new Error(`no such generator: ${values.generator}`)
  const { short, profile } = values
  return { short, profile, ...(only && { only }), ...(generator && { generator }) }
}
