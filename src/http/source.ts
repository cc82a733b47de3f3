import type { Authority, Caller } from '../access/authority.ts'
import type { ClientLimits } from '../access/client-limits.ts'
import { LimitedRegistry } from '../access/limited-registry.ts'
import type { Digest } from '../oci/digest.ts'
import type { Pull, Registry } from '../oci/registry.ts'
import type { PullTimes } from '../repositories/pull-times.ts'
import { assertAllowed, type Rule, upstreamHost } from '../rules/rule.ts'
import type { Exchange } from './exchange.ts'
import type { Name } from './oci/names.ts'

/** Whom a handler asks, what it says about its caller, and whom it tells that the caller was given a manifest. */
export type Source = { registry: Registry; pull: Pull; pulled: (digest: Digest) => void }

export type SourceOptions = {
  /** The registry to ask under a rule, by names of ours; without a rule, what is cached. */
  registryOf: (rule: Rule | undefined) => Registry
  /** The same for those who may not have anything fetched. */
  cachedOf: (rule: Rule | undefined) => Registry
  authority: Authority
  limits: ClientLimits
  pullTimes: Pick<PullTimes, 'note'>
}

/**
 * The registry that answers a caller about a repository, the same through every face: what a rule keeps out is unknown,
 * and whoever may not have images imported is shown what is cached. Whether the caller may ask at all was decided
 * before. Throws `unknown`.
 */
export async function sourceFor(
  { requestId, signal, client, facts, readsStore }: Exchange,
  caller: Caller,
  { rule, repository, upstreamRepository }: Pick<Name, 'rule' | 'repository' | 'upstreamRepository'>,
  { registryOf, cachedOf, limits, authority, pullTimes }: SourceOptions,
): Promise<Source> {
  facts.repository = repository
  if (rule) {
    facts.upstream = upstreamHost(rule)
    assertAllowed(rule, upstreamRepository)
  }
  const resource = authority.repositoryArn(repository)
  const mayImport = await authority.allows(caller, 'ecr:BatchImportUpstreamImage', resource)
  const registry = new LimitedRegistry(mayImport ? registryOf(rule) : cachedOf(rule), limits, client)
  return { registry, pull: { requestId, signal, readsStore }, pulled: (digest) => pullTimes.note(repository, digest) }
}
