import { Document, isMap } from 'yaml'
import type { Config, ConfiguredRule } from '../config.ts'
import type { CredentialSource, ForwardProxy, Mirror, TagTtl } from '../rules/rule.ts'
import { formatAddress, formatNetwork } from './address.ts'
import { formatDuration, formatSize } from './units.ts'

/** The effective configuration as one would write it, with `***` in the place of secrets. */
export function printConfig(config: Config): string {
  const { cache, scrub, timeouts } = config
  const document = new Document({
    listen: formatAddress(config.listen),
    adminListen: formatAddress(config.adminListen),
    allowPlainHttp: config.allowPlainHttp,
    ...(config.tls && { tls: config.tls }),
    publicUrl: config.publicUrl,
    trustedProxies: config.trustedProxies.map(formatNetwork),
    dataDir: config.dataDir,
    workers: config.workers,
    defaultUpstream: config.defaultUpstream ?? 'none',
    builtinRules: config.builtinRules,
    offline: config.offline,
    allowPrivateUpstreams: config.allowPrivateUpstreams,
    throttledStatus: config.throttledStatus,
    registry: config.registry,
    auth: config.auth,
    accessKeys: config.accessKeys,
    secrets: config.secrets,
    cache: {
      maxSize: formatSize(cache.maxSize),
      minFree: 'percent' in cache.minFree ? `${cache.minFree.percent}%` : formatSize(cache.minFree.bytes),
      ...(cache.maxAge !== undefined && { maxAge: formatDuration(cache.maxAge) }),
      manifestMemory: formatSize(cache.manifestMemory),
    },
    scrub: { interval: formatDuration(scrub.interval), bytesPerSecond: formatSize(scrub.bytesPerSecond) },
    timeouts: {
      connect: formatDuration(timeouts.connectMs),
      headers: formatDuration(timeouts.headersMs),
      idle: formatDuration(timeouts.idleMs),
      revalidate: formatDuration(timeouts.revalidateMs),
      requestHead: formatDuration(timeouts.requestHeadMs),
      writeStall: formatDuration(timeouts.writeStallMs),
      drain: formatDuration(timeouts.drainMs),
      retryPause: formatDuration(timeouts.retryPauseMs),
    },
    limits: config.limits,
    log: config.log,
    rules: [],
  })
  for (const rule of config.rules) document.addIn(['rules'], document.createNode(written(rule)))
  config.rules.forEach((rule, index) => {
    const node = document.getIn(['rules', index])
    if (rule.source === 'builtin' && isMap(node)) node.commentBefore = ' built in'
  })
  return document.toString({ lineWidth: 120 })
}

function written(rule: ConfiguredRule): Record<string, unknown> {
  const { credential, credentials, mirrors, limits } = rule
  return {
    prefix: rule.prefix,
    upstream: rule.upstream,
    ...(mirrors && { upstreams: mirrors.map(writtenMirror) }),
    fallThroughOnUnknown: rule.fallThroughOnUnknown ?? false,
    upstreamRepositoryPrefix: rule.upstreamRepositoryPrefix,
    ...(credential && { credential: withoutPassword(credential) }),
    ...(credentials && { credentials: credentials.map(withoutPassword) }),
    realmHosts: rule.realmHosts,
    ...(rule.redirectHosts && { redirectHosts: rule.redirectHosts }),
    dialect: rule.dialect,
    tagTtl: writtenTagTtl(rule.tagTtl),
    staleWhileRevalidate: formatDuration(rule.staleWhileRevalidateMs ?? 0),
    negativeTtl: formatDuration(rule.negativeTtlMs),
    onUnknownTag: rule.onUnknownTag,
    repositories: rule.repositories,
    budget: rule.budget ?? { reserve: 0 },
    ...(limits && {
      limits: {
        ...limits,
        ...(limits.bytesPerSecond !== undefined && { bytesPerSecond: formatSize(limits.bytesPerSecond) }),
      },
    }),
    ...(rule.pin && { pin: rule.pin }),
    ...(rule.reserve !== undefined && { reserve: formatSize(rule.reserve) }),
    ...(rule.caFile && { ca: rule.caFile }),
    ...(rule.proxy && { proxy: writtenProxy(rule.proxy) }),
  }
}

const withoutPassword = (source: CredentialSource): CredentialSource =>
  'password' in source ? { ...source, password: '***' } : source

const writtenProxy = (proxy: ForwardProxy | 'none') =>
  proxy === 'none' || proxy.username !== undefined ? proxy : proxy.url

const writtenMirror = ({ upstream, credential, proxy }: Mirror) =>
  credential || proxy
    ? {
        upstream,
        ...(credential && { credential: withoutPassword(credential) }),
        ...(proxy && { proxy: writtenProxy(proxy) }),
      }
    : upstream

function writtenTagTtl(ttls: readonly TagTtl[]): string | Map<string, string> {
  const [only, ...others] = ttls
  if (only?.pattern === '*' && others.length === 0) return formatDuration(only.ttlMs)
  return new Map(ttls.map(({ pattern, ttlMs }) => [pattern, formatDuration(ttlMs)]))
}
