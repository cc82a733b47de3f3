import { dockerHub } from '../rules/origin.ts'
import { type Rule, upstreamHost } from '../rules/rule.ts'
import type { RuleBook } from '../rules/rule-book.ts'

/** A registry that clients can go on naming as they do, and pull through an instance. */
export type Mirror = {
  /** As it stands in the names of images: `docker.io`, `registry.example:5000`. */
  readonly registry: string
  /** What stands in front of its repositories here; empty for nothing. */
  readonly prefix: string
  /** Whether `?ns=` leads to the same as the prefix does, for every repository. */
  readonly byNamespace: boolean
  /** Where clients find the registry without us. An origin. */
  readonly server: string
  /** The prefixes of all rules that lead there. */
  readonly rules: readonly string[]
}

/** A rule whose images are pulled by the name that they have here, and by no other. */
export type ByName = { readonly prefix: string; readonly why: string }

/** What clients can mirror of the rules in force. */
export function mirrorsOf(book: RuleBook): { mirrors: Mirror[]; byName: ByName[] } {
  const named = Map.groupBy(book.list().filter(isNamedAsRegistry), ({ prefix }) => registryIn(prefix))
  const mirrors = new Map<string, Mirror>()
  for (const [name, rules] of named) {
    const mirror = mirrorOfName(name, rules, book)
    mirrors.set(mirror.registry, mirror)
  }
  const byName: ByName[] = []
  for (const rule of book.list().filter((rule) => !isNamedAsRegistry(rule))) {
    const registry = nameOf(upstreamHost(rule))
    const why = whyNot(rule, registry, book, mirrors)
    if (why !== undefined) byName.push({ prefix: rule.prefix, why })
    else mirrors.set(registry, mirrorOfUpstream(rule, registry))
  }
  return { mirrors: [...mirrors.values()], byName }
}

/** Whether what clients send without a registry's name is looked for on Docker Hub, as they mean it. */
export function leadsToDockerHub(rule: Rule | undefined): boolean {
  if (!rule) return false
  return rule.prefix === 'docker.io' || (dockerHub.includes(upstreamHost(rule)) && !hasOtherNames(rule))
}

const isNamedAsRegistry = ({ prefix }: Rule): boolean => isRegistryName(prefix.split('/')[0] ?? '')

/**
 * Whether clients take what stands in front of an image's name for a registry. It becomes the name of a directory, too.
 *
 * https://github.com/distribution/reference/blob/main/reference.go
 */
export function isRegistryName(host: string): boolean {
  const label = '[a-z0-9](?:[a-z0-9-]*[a-z0-9])?'
  const grammar = new RegExp(`^(?:${label}(?:\\.${label})*|\\[[0-9a-f:]+\\])(?::\\d{1,5})?$`)
  return grammar.test(host) && (/[.:]/.test(host) || host === 'localhost')
}

const registryIn = (prefix: string): string => nameOf(prefix.split('/')[0] ?? '')

const nameOf = (host: string): string => (dockerHub.includes(host) ? 'docker.io' : host)

const serverOf = (registry: string): string =>
  registry === 'docker.io' ? 'https://registry-1.docker.io' : `https://${registry}`

const hasOtherNames = ({ upstreamRepositoryPrefix }: Rule): boolean => upstreamRepositoryPrefix !== 'ROOT'

/**
 * Rules below a registry's name, such as `ghcr.io/team`, are found by the path alone: by `ns` a client would be led past
 * them. A prefix has no port, but clients write that of the upstream.
 */
function mirrorOfName(name: string, rules: readonly Rule[], book: RuleBook): Mirror {
  const main = rules.find(({ prefix }) => prefix === name) ?? rules.find(({ prefix }) => !prefix.includes('/'))
  const upstream = main && new URL(main.upstream)
  const registry = upstream && upstream.hostname === name ? upstream.host : name
  const own = rules.find((rule) => upstreamHost(rule) === registry)
  return {
    registry,
    prefix: main?.prefix ?? name,
    byNamespace: rules.length === 1 && main !== undefined && book.byNamespace(registry) === main,
    server: own?.upstream ?? serverOf(registry),
    rules: rules.map(({ prefix }) => prefix),
  }
}

const mirrorOfUpstream = ({ prefix, upstream }: Rule, registry: string): Mirror => ({
  registry,
  prefix: prefix === 'ROOT' ? '' : prefix,
  byNamespace: true,
  server: upstream,
  rules: [prefix],
})

function whyNot(rule: Rule, registry: string, book: RuleBook, mirrors: ReadonlyMap<string, Mirror>) {
  if (!isRegistryName(registry)) return `${registry} is no registry in names of images`
  if (hasOtherNames(rule)) return `its repositories have other names in ${registry}`
  if (mirrors.has(registry)) return `${registry} leads to the rule ${mirrors.get(registry)?.rules[0]}`
  if (book.byNamespace(registry) !== rule) return `several rules lead to ${registry}`
  return undefined
}
