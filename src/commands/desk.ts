import { access } from 'node:fs/promises'
import type { AccessKey } from '../access/access-key.ts'
import { Authority } from '../access/authority.ts'
import { KeyRing } from '../access/keys.ts'
import type { PolicyDocument } from '../access/policy-document.ts'
import { loadPolicies } from '../access/policy-reference.ts'
import type { Config } from '../config.ts'
import { nameOf } from '../http/oci/names.ts'
import { type Explanation, explain } from '../inspection/explanation.ts'
import { type ImageSummary, images, type RepositorySummary, repositories } from '../inspection/listing.ts'
import { type Purged, purge } from '../inspection/purge.ts'
import { type Refreshed, refresh } from '../inspection/refresh.ts'
import { type Stats, stats } from '../inspection/stats.ts'
import type { Tally } from '../inspection/tally.ts'
import type { PlaceOf } from '../repositories/named.ts'
import { Holdings } from '../transfer/holdings.ts'
import { type Core, openCore } from './core.ts'

/** What commands have a cache do: the one of a running instance, or one that is opened for a command. */
export type Desk = {
  explain: (reference: string, ask: boolean) => Promise<Explanation>
  refresh: (reference: string) => Promise<Refreshed>
  repositories: (prefix: string) => AsyncIterable<RepositorySummary>
  images: (prefix: string) => AsyncIterable<ImageSummary>
  stats: () => Promise<Stats>
  purge: (name: string) => Promise<Purged>
}

export type DeskOptions = {
  keys: () => readonly AccessKey[]
  /** Of all users with passwords; `undefined` where there are none. */
  passwordPolicies: () => readonly PolicyDocument[] | undefined
  /** Absent where no clients are served. */
  tally?: Tally
}

export function openDesk(config: Config, core: Core, { keys, passwordPolicies, tally }: DeskOptions): Desk {
  const { metadata, book, settings, lastAnswers, directory, deletion, storage, clock } = core
  const { blobs } = storage
  const { offline, auth, registry } = config
  const placeOf: PlaceOf = (name) =>
    nameOf(name, book, async (repository) => (await metadata.repositories.get(repository)) !== undefined)
  const listing = { metadata, blobs, images: core.images, ruleOf: (name: string) => book.ruleOf(name) }
  const common = { placeOf, metadata, settings, offline, registryOf: directory.registryOf.bind(directory) }
  const explaining = {
    ...{ ...common, lastAnswers, clock, keys, passwordPolicies, mode: auth.mode, registryId: registry.id },
    prefixes: () => book.list().map(({ prefix }) => prefix),
    holdings: new Holdings(core.images, blobs),
    authority: new Authority(registry, settings),
  }
  return {
    explain: (reference, ask) => explain(reference, ask, explaining),
    refresh: (reference) => refresh(reference, common).finally(core.changes.note),
    repositories: (prefix) => repositories(prefix, listing),
    images: (prefix) => images(prefix, listing),
    stats: async () => {
      await blobs.measured
      const usage = () => blobs.usage
      const rules = () => book.list()
      return stats({ ...listing, usage, rules, maxBytes: config.cache.maxSize, ...(tally && { tally }) })
    },
    purge: (name) => purge(name, { placeOf, metadata, blobs, images: core.images, deletion }),
  }
}

/** The desk of a cache that no instance has, for as long as `use` takes. Throws `DataDirInUse`. */
export async function atDesk<T>(config: Config, use: (desk: Desk) => Promise<T>): Promise<T> {
  const { dataDir, accessKeys: configured, auth } = config
  await access(dataDir).catch((cause: unknown) => {
    throw new Error(`there is no cache in ${dataDir}`, { cause })
  })
  await using core = await openCore(config)
  const ring = await KeyRing.open({ configured, dataDir, makesFirst: false })
  const policies = auth.htpasswd && (await loadPolicies(auth.htpasswd.policies))
  return await use(openDesk(config, core, { keys: () => keysIn(ring), passwordPolicies: () => policies }))
}

export const keysIn = (ring: KeyRing): AccessKey[] =>
  ring
    .list()
    .map(({ id }) => ring.get(id))
    .filter((key) => key !== undefined)
