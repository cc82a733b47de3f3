import type { OwnedRegistry } from '../cache/lingering.ts'
import type { Config } from '../config.ts'
import type { LocalSecrets } from '../credentials/credentials.ts'
import { accountsOf, proxyCredentialsOf } from '../credentials/from-rule.ts'
import { upstreamsOf } from '../rules/mirrors.ts'
import { type Rule, upstreamHost } from '../rules/rule.ts'
import { Fallback } from '../upstream/fallback.ts'
import { Upstream } from '../upstream/upstream.ts'
import { version } from './version.ts'

/** What a rule leads to: its upstream, or several that stand in for each other. Opens no connection yet. */
export function openUpstream(rule: Rule, config: Config, secrets: LocalSecrets): OwnedRegistry {
  if (!rule.mirrors) return openSingle(rule, config, secrets)
  const ways = upstreamsOf(rule).map((single) => ({
    registry: openSingle(single, config, secrets),
    host: upstreamHost(single),
    canonical: single.upstream === rule.upstream,
  }))
  return new Fallback(ways, { onUnknown: rule.fallThroughOnUnknown ?? false })
}

/** Whether the upstream of a rule is there and takes the rule's credential. Throws where it does not. */
export async function checkUpstream(rule: Rule, config: Config, secrets: LocalSecrets): Promise<void> {
  const { connectMs, headersMs } = config.timeouts
  await using upstream = openSingle(rule, config, secrets)
  await upstream.check({ signal: AbortSignal.timeout(connectMs + headersMs) })
}

function openSingle(rule: Rule, config: Config, secrets: LocalSecrets): Upstream {
  const { timeouts, allowPrivateUpstreams, proxy } = config
  const proxyCredentials = proxyCredentialsOf(rule)
  return new Upstream({
    rule,
    credentials: accountsOf(rule, { local: secrets, proxies: proxy }),
    timeouts,
    allowPrivate: allowPrivateUpstreams,
    userAgent: `cistern/${version}`,
    proxy,
    ...(proxyCredentials && { proxyCredentials }),
  })
}
