import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Changes } from '../async/changes.ts'
import type { FileSystem } from '../blobs/file-system.ts'
import { Directory } from '../cache/directory.ts'
import { Fills } from '../cache/fills.ts'
import { Scrubber } from '../cache/scrub.ts'
import type { Config } from '../config.ts'
import { LastAnswers } from '../inspection/last-answers.ts'
import { lockDataDir } from '../metadata/lock.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { notingChanges, notingLosses } from '../metadata/noting.ts'
import { SqliteMetadata } from '../metadata/sqlite.ts'
import { SqliteSettings } from '../metadata/sqlite-settings.ts'
import { Deletion } from '../repositories/deletion.ts'
import { Images } from '../repositories/images.ts'
import { PullTimes } from '../repositories/pull-times.ts'
import { Settings } from '../repositories/settings.ts'
import { RuleBook } from '../rules/rule-book.ts'
import { RuleFile } from '../rules/rule-file.ts'
import { RulesInForce } from '../rules/rules-in-force.ts'
import { Secrets } from '../secrets/secrets.ts'
import { Quotas } from '../transfer/quotas.ts'
import { openStorage, type Storage } from './storage.ts'
import { openUpstream } from './upstreams.ts'

/** A cache without its ports: what it knows, what it has, and where it gets more. Its owner disposes it. */
export type Core = AsyncDisposable & {
  /** Counts what takes effect at once. */
  changes: Changes
  metadata: Metadata
  book: RuleBook
  rules: RulesInForce
  secrets: Secrets
  settings: Settings
  images: Images
  pullTimes: PullTimes
  deletion: Deletion
  storage: Storage
  directory: Directory
  scrubber: Scrubber
  lastAnswers: LastAnswers
  fills: Fills
  quotas: Quotas
  /** Milliseconds since the epoch. */
  clock: () => number
}

export type CoreOptions = {
  /** Where blobs are kept; by default Node's. */
  fileSystem?: FileSystem
  /** What time it is for what is cached, in milliseconds since the epoch. Who calls is judged by the system's. */
  clock?: () => number
}

/** Takes the data directory for this process. Needs no network. Throws `DataDirInUse`, and what the system throws. */
export async function openCore(config: Config, { fileSystem, clock = Date.now }: CoreOptions = {}): Promise<Core> {
  await using opened = new AsyncDisposableStack()
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 })
  opened.use(lockDataDir(config.dataDir))
  const changes = new Changes()
  const metadata = opened.use(notingLosses(SqliteMetadata.open(join(config.dataDir, 'metadata.db')), changes.note))
  const secrets = await Secrets.open({ dataDir: config.dataDir, registry: config.registry, ...config.secrets })
  const settings = new Settings(
    opened.use(notingChanges(SqliteSettings.open(join(config.dataDir, 'settings.db')), changes.note)),
    metadata.repositories,
  )
  await settings.restore(metadata.since)
  const book = new RuleBook(config.rules, config.defaultUpstream)
  const storage = opened.use(await openStorage(config, metadata, book, { clock, fileSystem }))
  const { blobs, memory, uses, holds } = storage
  const { revalidateMs, retryPauseMs } = config.timeouts
  const fills = new Fills(blobs)
  const quotas = opened.use(new Quotas())
  const pullTimes = new PullTimes(metadata, clock)
  const deletion = new Deletion({
    metadata,
    blobs,
    pullTimes,
    clock,
    isInUse: (digest, since) => fills.has(digest) || holds.has(digest) || (uses.latest(digest) ?? 0) >= since,
    forget: (digest) => memory.delete(digest),
  })
  const lastAnswers = new LastAnswers(clock)
  const directory = new Directory({
    cache: { blobs, metadata, decisions: settings, fills, memory, uses, clock, revalidateMs, retryPauseMs },
    offline: config.offline,
    openUpstream: (rule) => lastAnswers.hear(rule, openUpstream(rule, config, secrets)),
  })
  opened.defer(() => directory.close())
  const rules = new RulesInForce({
    book,
    store: await RuleFile.open(join(config.dataDir, 'rules.json')),
    configured: config.rules,
    retain: (kept) => {
      changes.note()
      directory.retain(kept)
    },
  })
  const scrubber = opened.use(
    new Scrubber({
      blobs,
      metadata,
      memory,
      fills,
      ruleOf: (repository) => book.ruleOf(repository),
      registryOf: (rule) => directory.registryOf(rule),
    }),
  )
  const parts = opened.move()
  return {
    changes,
    metadata,
    book,
    rules,
    secrets,
    settings,
    images: new Images({ metadata, blobs, ruleOf: (repository) => book.ruleOf(repository) }),
    pullTimes,
    deletion,
    storage,
    directory,
    scrubber,
    lastAnswers,
    fills,
    quotas,
    clock,
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  }
}
