import { formatAddress, isLoopback, parseAddress } from './config/address.ts'
import { type RuleSettings, type Settings, schema } from './config/schema.ts'
import {
  type Environment,
  isTree,
  noFile,
  overlaid,
  type Path,
  readConfigFile,
  readEnvironment,
  readFlags,
  type Tree,
} from './config/sources.ts'
import { builtInRules } from './rules/built-in.ts'
import { inferDialect, knownRealmHosts } from './rules/dialects.ts'
import { registryOrigin } from './rules/origin.ts'
import type { ForwardProxy, Mirror, Rule } from './rules/rule.ts'

/** `caFile` is where `ca` was read from. */
export type ConfiguredRule = Rule & { readonly caFile?: string }

/** The whole configuration, frozen. Durations are `…Ms`, sizes are bytes, paths are relative to the working directory. */
export type Config = Readonly<
  Omit<Settings, 'publicUrl' | 'defaultUpstream' | 'timeouts' | 'rules'> & {
    publicUrl: string
    /** A prefix; absent where it is switched off. */
    defaultUpstream?: string
    timeouts: { readonly [K in keyof Settings['timeouts'] as `${K}Ms`]: number }
    /** Those of the file, and the built-in ones that none of them replaces. */
    rules: readonly ConfiguredRule[]
    proxy: ProxySettings
  }
>

/** As in the standard variables; may hold a password. */
export type ProxySettings = { httpProxy?: string; httpsProxy?: string; noProxy?: string }

/** All that is wrong with a configuration, each with its place; none repeats a value. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly faults: readonly string[]

  constructor(faults: readonly string[]) {
    super(faults.join('\n'))
    this.faults = faults
  }
}

/** Reads flags over environment over the file that they name. Throws `ConfigError`. */
export function loadConfig(args: readonly string[], env: Environment = process.env): Config {
  const flags = flagsOf(args)
  const environment = readEnvironment(env)
  const path = flags.file ?? env.CISTERN_CONFIG
  const file = path ? readConfigFile(path) : noFile
  if (file.faults.length > 0) throw new ConfigError(file.faults)

  const tree = overlaid(overlaid(file.tree, environment), flags)
  const where = (path: Path, key?: string): string => {
    const name = path.join('.')
    return flags.names.get(name) ?? environment.names.get(name) ?? `${file.locate(path, key)}: ${label(path, key)}`
  }
  const parsed = schema.safeParse(tree)
  const proxies = usualProxies(env)
  const faults = [
    ...proxies.faults,
    ...(parsed.error?.issues ?? []).flatMap((issue) => describe(issue, tree, where)),
    ...across(tree, where),
  ]
  if (!parsed.success || faults.length > 0) throw new ConfigError(faults)

  return frozen(configOf(parsed.data, proxies.settings))
}

function flagsOf(args: readonly string[]): ReturnType<typeof readFlags> {
  try {
    return readFlags(args)
  } catch (error) {
    throw new ConfigError([(error as Error).message])
  }
}

function configOf(settings: Settings, proxy: ProxySettings): Config {
  const { publicUrl, defaultUpstream, timeouts, ...rest } = settings
  const rules = settings.rules.map(ruleOf)
  const replaced = new Set(rules.map(({ prefix }) => prefix))
  const builtIn = settings.builtinRules ? builtInRules.filter(({ prefix }) => !replaced.has(prefix)) : []
  return {
    ...rest,
    publicUrl: publicUrl ?? `${settings.tls ? 'https' : 'http'}://${formatAddress(settings.listen)}`,
    ...(defaultUpstream === 'none' ? {} : { defaultUpstream }),
    timeouts: {
      connectMs: timeouts.connect,
      headersMs: timeouts.headers,
      idleMs: timeouts.idle,
      revalidateMs: timeouts.revalidate,
      requestHeadMs: timeouts.requestHead,
      writeStallMs: timeouts.writeStall,
      drainMs: timeouts.drain,
      retryPauseMs: timeouts.retryPause,
    },
    rules: [...builtIn, ...rules],
    proxy,
  }
}

function ruleOf(settings: RuleSettings): ConfiguredRule {
  const { ca, negativeTtl, proxy, staleWhileRevalidate, upstreams, ...rest } = settings
  const upstream = registryOrigin(settings.upstream)
  const rule: ConfiguredRule = {
    ...rest,
    source: 'file',
    upstream,
    staleWhileRevalidateMs: staleWhileRevalidate,
    negativeTtlMs: negativeTtl,
    dialect: settings.dialect ?? inferDialect(upstream, settings.prefix),
    realmHosts: settings.realmHosts ?? knownRealmHosts(upstream),
    ...(ca && { ca: ca.pem, caFile: ca.file }),
    ...(proxy && { proxy: proxyOf(proxy) }),
  }
  return upstreams ? { ...rule, mirrors: upstreams.map((entry) => mirrorOf(entry, rule)) } : rule
}

function mirrorOf(entry: NonNullable<RuleSettings['upstreams']>[number], rule: Rule): Mirror {
  const { upstream: named, credential, proxy } = typeof entry === 'string' ? { upstream: entry } : entry
  const upstream = registryOrigin(named)
  const own = upstream === rule.upstream
  const dialect = own ? rule.dialect : inferDialect(upstream, rule.prefix)
  return {
    upstream,
    dialect,
    realmHosts: own ? rule.realmHosts : knownRealmHosts(upstream),
    ...(credential && { credential }),
    ...(proxy && { proxy: proxyOf(proxy) }),
  }
}

const proxyOf = (proxy: NonNullable<RuleSettings['proxy']>): ForwardProxy | 'none' =>
  typeof proxy === 'string' && proxy !== 'none' ? { url: proxy } : proxy

/** In the order in which they count. */
const proxyVariables = {
  httpProxy: ['http_proxy', 'HTTP_PROXY'],
  httpsProxy: ['https_proxy', 'HTTPS_PROXY'],
} as const

/** Others take a host and port for a proxy by plain HTTP, and so do we. */
function usualProxies(env: Environment): { settings: ProxySettings; faults: string[] } {
  const noProxy = env.no_proxy || env.NO_PROXY
  const faults: string[] = []
  const found = Object.entries(proxyVariables).map(([key, names]) => {
    const name = names.find((name) => env[name])
    const url = name && parseProxy(env[name] ?? '')
    if (name && !url) faults.push(`${name}: must be http(s)://[user:password@]host[:port]`)
    return [key, url]
  })
  const settings = { ...Object.fromEntries(found.filter(([, url]) => url)), ...(noProxy && { noProxy }) }
  return { settings, faults }
}

function parseProxy(text: string): string | undefined {
  const written = text.trim()
  const url = URL.parse(/^\w+:\/\//.test(written) ? written : `http://${written}`)
  if (!url || !/^https?:$/.test(url.protocol) || url.pathname !== '/' || url.search !== '') return undefined
  try {
    decodeURIComponent(url.username + url.password)
  } catch {
    return undefined
  }
  return url.href
}

type Where = (path: Path, key?: string) => string

function describe(issue: { code: string; path: PropertyKey[]; message: string }, tree: Tree, where: Where): string[] {
  const path = issue.path.map((part) => (typeof part === 'number' ? part : String(part)))
  if ('keys' in issue) return (issue.keys as string[]).map((key) => `${where(path, key)}: unknown key`)
  const missing = path.reduce<unknown>((value, part) => (value as Tree | undefined)?.[part], tree) === undefined
  const message = issue.message.replace(/^Invalid input: /, '')
  return [`${where(path)}: ${missing && path.at(-2) !== 'tagTtl' ? `is missing; ${message}` : message}`]
}

/** What is wrong between keys, looked at even where single ones are wrong. */
function across(tree: Tree, where: Where): string[] {
  const faults: string[] = []
  const mode = isTree(tree.auth) ? tree.auth.mode : undefined
  const listen = parseAddress(String(tree.listen ?? '127.0.0.1:5000'))
  if (mode === undefined && listen && !isLoopback(listen)) {
    faults.push(`${where(['listen'])}: beyond loopback needs auth.mode stated; open lets all who reach it pull`)
  }
  if (tree.tls === undefined && tree.allowPlainHttp !== true && listen && !isLoopback(listen)) {
    faults.push(
      `${where(['listen'])}: beyond loopback needs tls, or allowPlainHttp: true where something else encrypts`,
    )
  }
  if (isTree(tree.auth) && tree.auth.htpasswd !== undefined && mode !== 'required') {
    faults.push(`${where(['auth', 'htpasswd'])}: nobody logs in unless auth.mode is required`)
  }
  const seen = new Map<unknown, number>()
  for (const [index, rule] of (Array.isArray(tree.rules) ? tree.rules : []).entries()) {
    const prefix = isTree(rule) ? rule.prefix : undefined
    const first = seen.get(prefix)
    if (isTree(rule) && rule.credential !== undefined && rule.credentials !== undefined) {
      faults.push(`${where(['rules', index, 'credentials'])}: stands beside credential; one of them has to go`)
    }
    if (prefix === undefined) continue
    if (first === undefined) seen.set(prefix, index)
    else faults.push(`${where(['rules', index, 'prefix'])}: is the prefix of rules[${first}] already`)
  }
  return faults
}

const label = (path: Path, key?: string): string =>
  [...path, ...(key === undefined ? [] : [key])].reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`
    if (!/^\w+$/.test(part)) return `${text}[${JSON.stringify(part)}]`
    return text === '' ? part : `${text}.${part}`
  }, '')

function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    Object.values(value).forEach(frozen)
  }
  return value
}
