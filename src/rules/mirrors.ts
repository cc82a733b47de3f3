import type { Rule } from './rule.ts'

/**
 * The upstreams that stand behind a rule, each as a rule of its own without mirrors, in the order in which they are
 * asked. The rule's own upstream comes last unless it stands among its mirrors. No other gets its credential.
 */
export function upstreamsOf(rule: Rule): Rule[] {
  const { mirrors = [], ...own } = rule
  const { credential: _, credentials: __, ...anonymous } = own
  const all = mirrors.map((mirror): Rule => {
    if (mirror.upstream === rule.upstream && !mirror.credential) return { ...own, ...mirror }
    return { ...anonymous, ...mirror }
  })
  return mirrors.some(({ upstream }) => upstream === rule.upstream) ? all : [...all, own]
}
