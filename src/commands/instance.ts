import { access, constants, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { ClientLimits } from '../access/client-limits.ts'
import { Directory } from '../cache/directory.ts'
import { Fills } from '../cache/fills.ts'
import type { Config } from '../config.ts'
import { credentialsOf } from '../credentials/from-rule.ts'
import { adminApp, type Readiness } from '../http/admin/app.ts'
import { createApp } from '../http/app.ts'
import { type Listener, listen } from '../http/listen.ts'
import { lockDataDir } from '../metadata/lock.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { SqliteMetadata } from '../metadata/sqlite.ts'
import { Repositories } from '../repositories/repositories.ts'
import { type Rule, upstreamHost } from '../rules/rule.ts'
import { RuleBook } from '../rules/rule-book.ts'
import { Metrics } from '../telemetry/metrics.ts'
import { Upstream } from '../upstream/upstream.ts'
import { openStorage } from './storage.ts'
import { version } from './version.ts'

/** A cache at work. Its owner closes it. */
export type Instance = {
  readonly url: string
  readonly adminUrl: string
  /** Puts the rules of another configuration in force. Transfers under rules that stay as they are go on. */
  reload(config: Config): Promise<void>
  /** Says so to whoever asks for readiness, takes no more clients, finishes or breaks off what runs, lets all go. */
  close(): Promise<void>
}

/** Opens a cache and serves it. Needs no network. Throws `DataDirInUse`, and what the system throws. */
export async function openInstance(config: Config): Promise<Instance> {
  await using opened = new AsyncDisposableStack()
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 })
  opened.use(lockDataDir(config.dataDir))
  const metadata = opened.use(SqliteMetadata.open(join(config.dataDir, 'metadata.db')))
  const book = new RuleBook(config.rules, config.defaultUpstream)
  const storage = opened.use(await openStorage(config, metadata, book))
  const { blobs, memory, uses } = storage
  const { revalidateMs, retryPauseMs, writeStallMs } = config.timeouts
  const fills = new Fills(blobs)
  const directory = new Directory({
    cache: { blobs, metadata, fills, memory, uses, clock: Date.now, revalidateMs, retryPauseMs },
    offline: config.offline,
    openUpstream: (rule) => openUpstream(rule, config),
  })
  opened.defer(() => directory.close())
  const metrics = opened.use(new Metrics({ version, cacheLimit: config.cache.maxSize, usage: () => blobs.usage }))
  const app = createApp({
    book,
    repositories: new Repositories(metadata),
    registryOf: (rule) => directory.registryOf(rule),
    limits: new ClientLimits(config.limits),
    throttledStatus: config.throttledStatus,
  })
  let draining = false
  const ready = () => readiness(config.dataDir, metadata, draining)
  const admin = opened.adopt(
    await listen(adminApp({ ready, metrics: () => metrics.read() }), { ...config.adminListen, announce: false }),
    (listener) => listener.close(0),
  )
  const data: Listener = opened.adopt(
    await listen(app, { ...config.listen, writeStallMs, maxConnections: config.limits.connections }),
    (listener) => listener.close(config.timeouts.drainMs),
  )
  const parts = opened.move()
  return {
    url: data.url,
    adminUrl: admin.url,
    async reload({ rules }) {
      const inForce = book.list()
      const next = rules.map((rule) => inForce.find((known) => isDeepStrictEqual(known, rule)) ?? rule)
      book.replace(next)
      await directory.retain(next)
    },
    async close() {
      draining = true
      await parts.disposeAsync()
    },
  }
}

function openUpstream(rule: Rule, { timeouts, allowPrivateUpstreams, proxy }: Config): Upstream {
  return new Upstream({
    rule,
    credentials: credentialsOf(rule.credential, upstreamHost(rule)),
    timeouts,
    allowPrivate: allowPrivateUpstreams,
    userAgent: `cistern/${version}`,
    proxy,
  })
}

/** An instance that cannot write still serves what it has; one without its metadata does not. */
async function readiness(dataDir: string, metadata: Metadata, draining: boolean): Promise<Readiness> {
  const [index, disk] = await Promise.allSettled([metadata.repositories.get('-'), access(dataDir, constants.W_OK)])
  const checks = {
    metadata: index.status === 'fulfilled' ? 'ok' : 'unreadable',
    disk: disk.status === 'fulfilled' ? 'ok' : 'not writable',
    draining,
  }
  return { ready: index.status === 'fulfilled' && !draining, checks }
}
