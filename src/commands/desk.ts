import { access, readFile } from 'node:fs/promises'
import type { AccessKey } from '../access/access-key.ts'
import { Authority } from '../access/authority.ts'
import { parseHtpasswd } from '../access/htpasswd.ts'
import { KeyRing } from '../access/keys.ts'
import type { PolicyDocument } from '../access/policy-document.ts'
import { loadPolicies } from '../access/policy-reference.ts'
import type { Config } from '../config.ts'
import { nameOf } from '../http/oci/names.ts'
import { type Explanation, explain } from '../inspection/explanation.ts'
import { type ImageSummary, images, type RepositorySummary, repositories } from '../inspection/listing.ts'
import type { PasswordLogins } from '../inspection/pullers.ts'
import { type Purged, purge } from '../inspection/purge.ts'
import { type Refreshed, refresh } from '../inspection/refresh.ts'
import { type Stats, stats } from '../inspection/stats.ts'
import type { Tally } from '../inspection/tally.ts'
import type { PlaceOf } from '../repositories/named.ts'
import { Holdings } from '../transfer/holdings.ts'
import { type Core, openCore } from './core.ts'
import { meantBy } from './names.ts'
import { type ShownRules, shownRules } from './rules.ts'

/** What commands have a cache do: the one of a running instance, or one that is opened for a command. */
export type Desk = {
  explain: (reference: string, ask: boolean) => Promise<Explanation>
  refresh: (reference: string) => Promise<Refreshed>
  repositories: (prefix: string) => AsyncIterable<RepositorySummary>
  images: (prefix: string) => AsyncIterable<ImageSummary>
  stats: () => Promise<Stats>
  rules: () => ShownRules
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
  const { metadata, book, settings, lastAnswers, directory, deletion, storage, changes } = core
  const { blobs } = storage
  const { offline, auth, registry, tls } = config
  const placeOf: PlaceOf = (name) =>
    nameOf(name, book, async (repository) => (await metadata.repositories.get(repository)) !== undefined)
  const ruleOf = (repository: string) => book.ruleOf(repository)
  const listing = { metadata, blobs, images: core.images, ruleOf }
  const common = { placeOf, metadata, images: core.images, settings, offline }
  const registryOf = directory.registryOf.bind(directory)
  const explaining = {
    ...{ ...common, registryOf, lastAnswers, keys, mode: auth.mode, registryId: registry.id },
    ...{ secure: tls !== undefined, certified: tls?.clientCaFile !== undefined },
    passwordLogins: () => passwordLogins(auth.htpasswd?.file, passwordPolicies()),
    outlook: directory.outlook.bind(directory),
    prefixes: () => book.list().map(({ prefix }) => prefix),
    holdings: new Holdings(core.images, blobs),
    authority: new Authority(registry, settings),
  }
  const meant = meantBy(config.publicUrl)
  return {
    explain: (reference, ask) => explain(meant(reference), ask, explaining).finally(ask ? changes.note : undefined),
    refresh: (reference) => refresh(meant(reference), { ...common, registryOf }).finally(changes.note),
    repositories: (prefix) => repositories(prefix, listing),
    images: (prefix) => images(prefix, listing),
    stats: async () => {
      await blobs.measured
      const { usage } = blobs
      const rules = () => book.list()
      return stats({ ...listing, usage: () => usage, rules, maxBytes: config.cache.maxSize, ...(tally && { tally }) })
    },
    rules: () => shownRules(book),
    purge: (name) => purge(meant(name), { ...common, deletion }),
  }
}

/** Rejects where the file cannot be read. */
async function passwordLogins(
  file: string | undefined,
  policies: readonly PolicyDocument[] | undefined,
): Promise<PasswordLogins | undefined> {
  if (file === undefined || !policies) return undefined
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new Error('the file of passwords cannot be read', { cause })
  })
  return { names: [...parseHtpasswd(text).users.keys()], policies }
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
