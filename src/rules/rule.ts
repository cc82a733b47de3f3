import { nameUnknown } from '../oci/errors.ts'

/** Quirks an upstream is known for. `generic` is a registry that keeps to the specification. */
export type Dialect = 'generic' | 'docker-hub' | 'ecr' | 'ecr-public' | 'gcr' | 'ghcr' | 'gitlab' | 'nvcr' | 'quay'

/** Where a rule's credential comes from. Secrets themselves are resolved by `credentials/`, late and again. */
export type CredentialSource =
  | { username: string; password: string }
  | { username: string; passwordFile: string }
  | { secretArn: string }
  | { dockerConfig: string }
  | { ecr: { region?: string; registryId?: string } }

/** A proxy for HTTP and HTTPS, named by its origin. Its password is read late and again. */
export type ForwardProxy = { readonly url: string; readonly username?: string; readonly passwordFile?: string }

/** How long tags that match `pattern` stay fresh, in milliseconds; `*` stands for any run of characters. */
export type TagTtl = { pattern: string; ttlMs: number }

/** What one upstream is asked for at most. A limit that is not stated there is none. */
export type UpstreamLimits = {
  /** Blobs under way at a time. */
  readonly concurrency?: number
  readonly requestsPerSecond?: number
  /** Of all blobs under way together. */
  readonly bytesPerSecond?: number
}

/** A place to ask in the name of a rule's upstream. */
export type Mirror = {
  /** An origin; may be the rule's own upstream. */
  readonly upstream: string
  readonly dialect: Dialect
  readonly realmHosts: readonly string[]
  /** Absent for a mirror that is asked without; the rule's own upstream then takes those of the rule. */
  readonly credential?: CredentialSource
  /** In the place of the rule's. */
  readonly proxy?: ForwardProxy | 'none'
}

/** Where one prefix leads. */
export type Rule = {
  /** Whole segments in front of the repository, or `ROOT` for names without a prefix. Identifies the rule. */
  readonly prefix: string
  readonly source: 'builtin' | 'file' | 'api'
  /** An origin: scheme, host and, unless it is the scheme's own, port. */
  readonly upstream: string
  /** What stands in front of the repository upstream, or `ROOT` for nothing. */
  readonly upstreamRepositoryPrefix: string
  readonly credential?: CredentialSource
  /** In the place of `credential`: several accounts, of which the one with most quota left is used. */
  readonly credentials?: readonly CredentialSource[]
  /** Whom to ask instead of `upstream` alone, in this order. What they say counts as said by `upstream`. */
  readonly mirrors?: readonly Mirror[]
  /** Whether the next of the mirrors is asked where one says that it does not have something, or denies it. */
  readonly fallThroughOnUnknown?: boolean
  /** Pulls left in upstream's window of which none is spent on what is cached; absent, none is kept. */
  readonly budget?: { readonly reserve: number }
  /** Of each upstream; absent, there are none. */
  readonly limits?: UpstreamLimits
  /** Origins besides the upstream's own that may ask for its credential. */
  readonly realmHosts: readonly string[]
  /** The only other origins that redirects may lead to; absent, any public one. */
  readonly redirectHosts?: readonly string[]
  readonly dialect: Dialect
  /** The first match decides. */
  readonly tagTtl: readonly TagTtl[]
  readonly negativeTtlMs: number
  /** For how long past its TTL a tag is served at once while upstream is asked; absent, everybody waits for the answer. */
  readonly staleWhileRevalidateMs?: number
  /** What a cached tag becomes when upstream says it does not exist. */
  readonly onUnknownTag: 'unknown' | 'keep'
  /** Patterns over the upstream repository; `deny` wins, an empty `allow` allows all. */
  readonly repositories: { readonly allow: readonly string[]; readonly deny: readonly string[] }
  /** Images that are never evicted: patterns over the upstream repository, or over `repository:tag`. */
  readonly pin?: readonly string[]
  /** Bytes of this rule's images that eviction leaves alone. */
  readonly reserve?: number
  /** Certificates in PEM trusted for this upstream, and its proxy, besides the system's. */
  readonly ca?: string
  /** What stands between us and every host that this rule leads to; absent, what the environment says. */
  readonly proxy?: ForwardProxy | 'none'
}

/** The port is part of it: `https://host:5000`. */
export const upstreamHost = (rule: Rule): string => new URL(rule.upstream).host

/**
 * The one spelling of a repository under its rule. Docker Hub keeps its official images in `library/`, which clients
 * that do not know they talk to Docker Hub leave out.
 */
export function canonicalRepository(rule: Rule, rest: string): string {
  const official = rule.dialect === 'docker-hub' && rule.upstreamRepositoryPrefix === 'ROOT' && !rest.includes('/')
  return official ? `library/${rest}` : rest
}

/** The name by which clients of ours know a repository; `rest` is what follows the prefix. */
export const localRepository = (rule: Rule, rest: string): string =>
  within(rule.prefix, canonicalRepository(rule, rest))

/** The name by which upstream knows it. */
export const upstreamRepository = (rule: Rule, rest: string): string =>
  within(rule.upstreamRepositoryPrefix, canonicalRepository(rule, rest))

/** The upstream name of a repository that `localRepository` named. */
export const upstreamNameOf = (rule: Rule, local: string): string =>
  within(rule.upstreamRepositoryPrefix, rule.prefix === 'ROOT' ? local : local.slice(rule.prefix.length + 1))

/** Whether none of a rule's upstreams is shown a credential, so that what they give is anybody's. */
export const isAnonymous = ({ credential, credentials = [], mirrors = [] }: Rule): boolean =>
  [credential, ...credentials, ...mirrors.map((mirror) => mirror.credential)].every((source) => source === undefined)

/** Whether the rule's patterns let a repository, by its name upstream, be served. */
export function isAllowed(rule: Rule, upstreamName: string): boolean {
  const { allow, deny } = rule.repositories
  const allowed = allow.length === 0 || allow.some((pattern) => matches(pattern, upstreamName))
  return allowed && !deny.some((pattern) => matches(pattern, upstreamName))
}

/** Throws `unknown` for a repository that is not: nobody is told that it exists. */
export function assertAllowed(rule: Rule, upstreamName: string): void {
  if (!isAllowed(rule, upstreamName)) throw nameUnknown(upstreamName)
}

/** How long `tag` stays fresh under `rule`, in milliseconds. */
export const tagTtlMs = (rule: Rule, tag: string): number =>
  rule.tagTtl.find(({ pattern }) => matches(pattern, tag))?.ttlMs ?? 0

/** Whether `text` is of the form of `pattern`, in which `*` stands for any run of characters. Linear in time. */
export function matches(pattern: string, text: string): boolean {
  const [head = '', ...rest] = pattern.split('*')
  if (rest.length === 0) return text === pattern
  const tail = rest.pop() ?? ''
  if (!text.startsWith(head) || !text.endsWith(tail) || text.length < head.length + tail.length) return false
  let from = head.length
  const limit = text.length - tail.length
  for (const part of rest) {
    const found = text.indexOf(part, from)
    if (found < 0 || found + part.length > limit) return false
    from = found + part.length
  }
  return true
}

const within = (prefix: string, rest: string): string => (prefix === 'ROOT' ? rest : `${prefix}/${rest}`)
