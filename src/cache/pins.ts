import { matches, type Rule, upstreamNameOf } from '../rules/rule.ts'

/**
 * Whether a rule keeps an image from eviction: by a pattern over its upstream repository, or over repository and tag
 * where the pattern has a colon.
 */
export function pins(rule: Rule, repository: string, tags: readonly string[]): boolean {
  const name = upstreamNameOf(rule, repository)
  return (rule.pin ?? []).some((pattern) =>
    pattern.includes(':') ? tags.some((tag) => matches(pattern, `${name}:${tag}`)) : matches(pattern, name),
  )
}
