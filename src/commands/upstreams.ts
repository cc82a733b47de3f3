import type { OwnedRegistry } from '../cache/directory.ts'
import type { Config } from '../config.ts'
import { accountsOf } from '../credentials/from-rule.ts'
import { upstreamsOf } from '../rules/mirrors.ts'
import { type Rule, upstreamHost } from '../rules/rule.ts'
import { Fallback } from '../upstream/fallback.ts'
import { Upstream } from '../upstream/upstream.ts'
import { version } from './version.ts'

/** What a rule leads to: its upstream, or several that stand in for each other. Opens no connection yet. */
export function openUpstream(rule: Rule, config: Config): OwnedRegistry {
  if (!rule.mirrors) return openSingle(rule, config)
  const ways = upstreamsOf(rule).map((single) => ({
    registry: openSingle(single, config),
    host: upstreamHost(single),
    canonical: single.upstream === rule.upstream,
  }))
  return new Fallback(ways, { onUnknown: rule.fallThroughOnUnknown ?? false })
}

function openSingle(rule: Rule, { timeouts, allowPrivateUpstreams, proxy }: Config): Upstream {
  return new Upstream({
    rule,
    credentials: accountsOf(rule),
    timeouts,
    allowPrivate: allowPrivateUpstreams,
    userAgent: `cistern/${version}`,
    proxy,
  })
}
