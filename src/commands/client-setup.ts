import { type Endpoint, nameHere, type Setup } from '../clients/client.ts'
import { type ByName, leadsToDockerHub, type Mirror, mirrorsOf } from '../clients/mirrors.ts'
import type { Homes } from '../config/homes.ts'
import { type Config, ConfigError } from '../config.ts'
import { type EndpointAsked, endpointOf } from './client-endpoint.ts'
import { knownRules } from './rules.ts'

/** What a user wants to be set up. */
export type Asked = EndpointAsked & {
  /** Prefixes; none for all rules. */
  rules: readonly string[]
  fallsBack: boolean
  user: Homes | undefined
}

export type Found = {
  setup: Setup
  /** What is to be known whatever the client is. */
  notes: string[]
  /** By its name, what stands in the place of each registry's in names of the instance. */
  registries: Record<string, string>
}

/** Throws `ConfigError`, and what goes wrong when rules are asked for. */
export async function setupOf(asked: Asked, config: Config): Promise<Found> {
  const endpoint = endpointOf(asked, config)
  const { book, isWhole } = await knownRules(config)
  const { mirrors: all, byName } = mirrorsOf(book)
  const mirrors = chosen(asked.rules, all, byName, endpoint)
  const left = asked.rules.length === 0 ? byName : []
  const setup: Setup = {
    ...{ endpoint, mirrors, fallsBack: asked.fallsBack },
    needsLogin: config.auth.mode === 'required',
    servesHubByDefault: leadsToDockerHub(book.root),
    ...(asked.user && { user: asked.user }),
  }
  const notes = [
    ...left.map(
      ({ prefix, why }) => `${prefix} is no registry of clients, for ${why}: name images ${hereOf(endpoint, prefix)}`,
    ),
    ...(isWhole ? [] : [`Rules of the API are left out: this user may not look into ${config.dataDir}.`]),
    ...(config.tls?.clientCaFile !== undefined && !endpoint.identity
      ? ['The instance wants a certificate of its clients: --client-cert and --client-key.']
      : []),
  ]
  return {
    setup,
    notes,
    registries: Object.fromEntries(mirrors.map((each) => [each.registry, nameHere(endpoint, each)])),
  }
}

const hereOf = ({ host }: Endpoint, prefix: string): string => (prefix === 'ROOT' ? `${host}/…` : `${host}/${prefix}/…`)

function chosen(prefixes: readonly string[], all: Mirror[], byName: ByName[], endpoint: Endpoint): Mirror[] {
  if (all.length + byName.length === 0) throw new ConfigError(['there are no rules'])
  if (prefixes.length === 0) {
    if (all.length === 0) throw new ConfigError(['no rule leads to a registry that clients could go on naming'])
    return all
  }
  const faults = prefixes.flatMap((prefix) => {
    if (all.some(({ rules }) => rules.includes(prefix))) return []
    const named = byName.find((rule) => rule.prefix === prefix)
    if (named)
      return [`--rule: ${prefix} is no registry of clients, for ${named.why}: name images ${hereOf(endpoint, prefix)}`]
    const known = [...all.flatMap(({ rules }) => rules), ...byName.map(({ prefix }) => prefix)]
    return [`--rule: there is no rule ${prefix}; there are ${known.join(', ')}`]
  })
  if (faults.length > 0) throw new ConfigError(faults)
  return all.filter(({ rules }) => rules.some((prefix) => prefixes.includes(prefix)))
}
