import { join } from 'node:path'
import type { Config } from '../config.ts'
import { plainRule } from '../rules/plain-rule.ts'
import type { Rule } from '../rules/rule.ts'
import { RuleBook } from '../rules/rule-book.ts'
import { RuleFile } from '../rules/rule-file.ts'
import { mergedRules } from '../rules/rules-in-force.ts'
import { askInstance } from './control.ts'

/** Where rules lead, and nothing of how. */
export type ShownRules = {
  rules: Pick<Rule, 'prefix' | 'source' | 'upstream' | 'upstreamRepositoryPrefix'>[]
  /** The prefix of the rule for names without one; absent where there is none. */
  root?: string
}

export const shownRules = (book: RuleBook): ShownRules => ({
  rules: book.list().map(({ prefix, source, upstream, upstreamRepositoryPrefix }) => {
    return { prefix, source, upstream, upstreamRepositoryPrefix }
  }),
  ...(book.root && { root: book.root.prefix }),
})

/**
 * Where the rules in force lead: those of the instance that runs, else those of the configuration and of the API. Where
 * this user may not look into the data directory, those of the API are left out, and `isWhole` is false.
 */
export async function knownRules(config: Config): Promise<{ book: RuleBook; isWhole: boolean }> {
  try {
    const answer = (await askInstance(config.dataDir, '/rules', 'GET')) as ShownRules | undefined
    return { book: answer ? bookOf(answer) : await keptRules(config), isWhole: true }
  } catch (error) {
    if (!isForbidden(error) && !isForbidden((error as Error).cause)) throw error
    return { book: new RuleBook(config.rules, config.defaultUpstream), isWhole: false }
  }
}

const bookOf = ({ rules, root }: ShownRules): RuleBook => new RuleBook(rules.map(plainRule), root)

async function keptRules({ rules, dataDir, defaultUpstream }: Config): Promise<RuleBook> {
  const { rules: made } = await RuleFile.open(join(dataDir, 'rules.json'))
  return new RuleBook(mergedRules(rules, made), defaultUpstream)
}

const isForbidden = (error: unknown): boolean =>
  ['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException | undefined)?.code ?? '')
