import { inferDialect, knownRealmHosts } from './dialects.ts'
import type { Rule } from './rule.ts'

const minuteMs = 60_000

/** A rule of which nothing is said but where it leads: all else is as the configuration's defaults have it. */
export function plainRule(rule: Pick<Rule, 'prefix' | 'source' | 'upstream' | 'upstreamRepositoryPrefix'>): Rule {
  const { prefix, source, upstream, upstreamRepositoryPrefix } = rule
  return {
    prefix,
    source,
    upstream,
    fallThroughOnUnknown: false,
    upstreamRepositoryPrefix,
    realmHosts: knownRealmHosts(upstream),
    dialect: inferDialect(upstream, prefix),
    tagTtl: [{ pattern: '*', ttlMs: 10 * minuteMs }],
    staleWhileRevalidateMs: 0,
    negativeTtlMs: minuteMs / 2,
    onUnknownTag: 'unknown',
    budget: { reserve: 0 },
    repositories: { allow: [], deny: [] },
  }
}
