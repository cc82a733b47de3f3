import { type Digest, parseDigest } from '../../oci/digest.ts'
import { nameUnknown, RegistryError } from '../../oci/errors.ts'
import { parseReference, parseRepository, type Reference } from '../../oci/reference.ts'
import { localRepository, type Rule, upstreamRepository } from '../../rules/rule.ts'
import type { RuleBook } from '../../rules/rule-book.ts'
import { pathOf } from '../gate.ts'

/** A repository, as whoever takes part in an answer knows it. */
export type Name = {
  /** Absent for what is cached under a rule that is no more. */
  rule: Rule | undefined
  /** The canonical name here: for cache keys, logs and permissions. */
  repository: string
  upstreamRepository: string
  /** The `ns` that the client sent, where it leads to the same rule. */
  namespace: string | undefined
  /** As the client wrote it. */
  written: string
  /** The path up to and with the repository as the client wrote it, for links. */
  path: string
}

/** What a path asks for. */
export type Route = { query: URLSearchParams } & (
  | { kind: 'base' }
  | { kind: 'catalog'; rule: Rule | undefined; namespace: string | undefined; path: string }
  | { kind: 'manifest'; name: Name; reference: Reference }
  | { kind: 'blob'; name: Name; digest: Digest }
  | { kind: 'tags'; name: Name }
  | { kind: 'referrers'; name: Name; digest: Digest }
)

/** Whether something is cached under a name of ours. */
export type Has = (repository: string) => Promise<boolean>

/** The part of a path up to the API's `v2`, and what stands behind it. */
type Mount = { path: string; rest: string[]; rule?: Rule }

/**
 * Reads a request target that passed the gate, in any of the shapes that clients send:
 *
 *     A  /v2/library/nginx/manifests/latest?ns=docker.io
 *     B  /v2/docker.io/library/nginx/manifests/latest
 *     C  /docker.io/v2/library/nginx/manifests/latest
 *     D  /v2/library/nginx/manifests/latest
 *
 * `undefined` for a path outside of the API. Throws `unknown` for names that lead nowhere, `invalid` for malformed ones.
 */
export async function parseRoute(target: string, book: RuleBook, has: Has): Promise<Route | undefined> {
  const mount = mountOf(pathOf(target), book)
  if (!mount) return undefined
  const query = new URLSearchParams(target.slice(pathOf(target).length))
  const { rest, path, rule } = mount
  if (rest.length === 0 || (rest.length === 1 && rest[0] === '')) return { query, kind: 'base' }
  if (rest.length === 1 && rest[0] === '_catalog') {
    const namespace = namespaceOf(query)
    const scope = rule ?? (namespace === undefined ? undefined : ruleOf(namespace, book))
    return { query, kind: 'catalog', rule: scope, namespace, path: `${path}/_catalog` }
  }
  const [noun = '', last = ''] = rest.slice(-2)
  const kind = kinds.get(noun)
  if (!kind || (kind === 'tags' && last !== 'list')) throw nameUnknown(rest.join('/'))
  const written = parseRepository(rest.slice(0, -2).join('/'))
  const name = await resolveName(mount, written, namespaceOf(query), book, has)
  switch (kind) {
    case 'manifest':
      return { query, kind, name, reference: parseReference(name.repository, last) }
    case 'tags':
      return { query, kind, name }
    default:
      return { query, kind, name, digest: parseDigest(last) }
  }
}

/** By the segment before the last. */
const kinds: ReadonlyMap<string, 'manifest' | 'blob' | 'referrers' | 'tags'> = new Map([
  ['manifests', 'manifest'],
  ['blobs', 'blob'],
  ['referrers', 'referrers'],
  ['tags', 'tags'],
])

/** Whether a path belongs to the API, whatever it asks for. */
export const isApiPath = (target: string, book: RuleBook): boolean => mountOf(pathOf(target), book) !== undefined

function mountOf(path: string, book: RuleBook): Mount | undefined {
  const segments = path.slice(1).split('/')
  const until = (end: number) => segments.slice(0, end).join('/')
  if (segments[0] === 'v2') return { path: '/v2', rest: segments.slice(1) }
  for (let at = segments.indexOf('v2'); at > 0; at = segments.indexOf('v2', at + 1)) {
    const rule = book.get(until(at))
    if (rule) return { path: `/${until(at)}/v2`, rest: segments.slice(at + 1), rule }
  }
  return undefined
}

/** The repository of a name that stands in no path, as `/v2/<name>/…` leads to it. Throws `unknown`. */
export const nameOf = (written: string, book: RuleBook, has: Has): Promise<Name> =>
  resolveName({ path: '/v2', rest: [] }, written, undefined, book, has)

async function resolveName(
  mount: Mount,
  written: string,
  namespace: string | undefined,
  book: RuleBook,
  has: Has,
): Promise<Name> {
  const found = await lead(mount.rule, written, namespace, book, has)
  const path = `${mount.path}/${written}`
  if (!found) return { rule: undefined, repository: written, upstreamRepository: written, namespace, written, path }
  const { rule, rest } = found
  const meant = namespace !== undefined && book.byNamespace(namespace) === rule
  return {
    rule,
    repository: localRepository(rule, rest),
    upstreamRepository: upstreamRepository(rule, rest),
    namespace: meant ? namespace : undefined,
    written,
    path,
  }
}

/** The rule that a name leads to and the name without its prefix; `undefined` for what is cached without a rule. */
async function lead(
  mounted: Rule | undefined,
  written: string,
  namespace: string | undefined,
  book: RuleBook,
  has: Has,
): Promise<{ rule: Rule; rest: string } | undefined> {
  if (mounted) return { rule: mounted, rest: written }
  const prefixed = book.longestPrefix(written)
  if (prefixed) return prefixed
  if (namespace !== undefined) return { rule: ruleOf(namespace, book), rest: written }
  const { root } = book
  if (root?.prefix === 'ROOT') return { rule: root, rest: written }
  if (await has(written)) return undefined
  if (!root || startsWithHost(written)) throw nameUnknown(written)
  return { rule: root, rest: written }
}

/**
 * The registry that a client says it means: a key to look up, never an address to ask.
 *
 * https://github.com/opencontainers/distribution-spec/blob/main/spec.md#registry-proxying
 */
function namespaceOf(query: URLSearchParams): string | undefined {
  const [namespace, ...others] = query.getAll('ns')
  if (namespace === undefined) return undefined
  if (others.length > 0 || !/^[a-z0-9.-]{1,253}(?::\d{1,5})?$/i.test(namespace)) throw namespaceUnknown()
  return namespace.toLowerCase()
}

function ruleOf(namespace: string, book: RuleBook): Rule {
  const rule = book.byNamespace(namespace)
  if (!rule) throw namespaceUnknown()
  return rule
}

const namespaceUnknown = () =>
  new RegistryError('unknown', 'NAME_UNKNOWN', 'the registry of this namespace is not served here')

/** A name that starts with a host is meant for that host, never for the default upstream. */
const startsWithHost = (written: string): boolean => {
  const [first = '', second] = written.split('/', 2)
  return second !== undefined && (first.includes('.') || first === 'localhost')
}
