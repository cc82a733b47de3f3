import { access, constants } from 'node:fs/promises'
import { Authority } from '../access/authority.ts'
import { ClientLimits } from '../access/client-limits.ts'
import type { Fronts } from '../cluster.ts'
import type { Config } from '../config.ts'
import { adminApp, type Readiness } from '../http/admin/app.ts'
import { createApp } from '../http/app.ts'
import { type ControlOptions, controlApp } from '../http/control/app.ts'
import { listenOnSocket } from '../http/control/socket.ts'
import { listen } from '../http/listen.ts'
import { Tally } from '../inspection/tally.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { Repositories } from '../repositories/repositories.ts'
import { publish } from '../telemetry/events.ts'
import { Metrics } from '../telemetry/metrics.ts'
import { openAccess } from './access.ts'
import { scrubInBackground } from './background-scrub.ts'
import { openCertificate } from './certificate.ts'
import { controlSocket } from './control.ts'
import { type CoreOptions, openCore } from './core.ts'
import { frontsOf, openDataPort } from './data-port.ts'
import { type Desk, keysIn, openDesk } from './desk.ts'
import { controlOf } from './ecr.ts'
import { openLifecycle } from './lifecycle.ts'
import { openTransfers } from './transfer.ts'
import { version } from './version.ts'

/** A cache at work. Its owner closes it. */
export type Instance = {
  readonly url: string
  readonly adminUrl: string
  /** The file of the first access key, where this start made it. */
  readonly firstKeyFile: string | undefined
  /** Puts rules and keys of another configuration in force. Transfers under way go on. */
  reload(config: Config): Promise<void>
  /** Says so to whoever asks for readiness, takes no more clients, finishes or breaks off what runs, lets all go. */
  close(): Promise<void>
}

/** Opens a cache and serves it. Needs no network. Throws `ConfigError`, `DataDirInUse`, and what the system throws. */
export async function openInstance(config: Config, options: CoreOptions = {}): Promise<Instance> {
  const certificate = await openCertificate(config)
  await using opened = new AsyncDisposableStack()
  const core = opened.use(await openCore(config, options))
  const { changes, metadata, book, rules, settings, pullTimes, storage, directory, scrubber } = core
  const { blobs } = storage
  const metrics = opened.use(new Metrics({ version, cacheLimit: config.cache.maxSize, usage: () => blobs.usage }))
  const { dataDir, registry } = config
  const entrance = opened.use(await openAccess(config, changes.note))
  const { keys, tokens, layerTokens, authentication } = entrance
  const { expiry, previews } = opened.use(openLifecycle(core))
  const app = createApp({
    book,
    repositories: new Repositories(metadata),
    registryOf: (rule) => directory.registryOf(rule),
    cachedOf: (rule) => directory.cachedOf(rule),
    authentication,
    authority: new Authority(registry, settings),
    limits: new ClientLimits(config.limits),
    pullTimes,
    throttledStatus: config.throttledStatus,
    ecr: { ...controlOf(config, core), expiry, previews, tokens, layerTokens },
  })
  const tally = opened.use(new Tally(core.clock(), (repository) => book.ruleOf(repository)?.prefix))
  const fronts = await frontsOf(config, core, certificate, tally)
  let draining = false
  const ready = async () => {
    const state = await readiness(dataDir, metadata, blobs.usage.degraded, draining)
    return fronts ? withFronts(state, fronts) : state
  }
  const admin = opened.adopt(
    await listen(adminApp({ ready, metrics: async () => metrics.read(await fronts?.samples()) }), {
      ...config.adminListen,
      announce: false,
    }),
    (listener) => listener.close(0),
  )
  const desk = openDesk(config, core, { keys: () => keysIn(keys), passwordPolicies: entrance.passwordPolicies, tally })
  const control: ControlOptions = {
    scrub: (options) => scrubber.run(options),
    keys,
    cache: fronts ? countingFronts(desk, fronts) : desk,
    transfers: openTransfers(config, core),
  }
  opened.use(await openControl(dataDir, control, fronts?.settled))
  opened.use(await scrubInBackground(scrubber, config))
  const data = opened.use(await openDataPort(app, config, { core, certificate, fronts }))
  const parts = opened.move()
  return {
    url: data.url,
    adminUrl: admin.url,
    firstKeyFile: keys.firstKeyFile,
    async reload(next) {
      await entrance.reload(next)
      await rules.reload(next.rules)
      await fronts?.settled()
    },
    async close() {
      draining = true
      await parts.disposeAsync()
    },
  }
}

/** A disk that takes no socket keeps commands from reaching this instance, and no clients. */
async function openControl(
  dataDir: string,
  control: ControlOptions,
  settle: (() => Promise<void>) | undefined,
): Promise<AsyncDisposable | undefined> {
  const path = controlSocket(dataDir)
  try {
    return await listenOnSocket(controlApp(control), path, settle ? { settle } : {})
  } catch (error) {
    const message = 'commands cannot reach this instance: its socket could not be made'
    publish('cistern:fault', { where: 'process', kind: 'internal', message, error })
    return undefined
  }
}

/** An instance that cannot write still serves what it has; one without its metadata does not. */
async function readiness(
  dataDir: string,
  metadata: Metadata,
  degraded: boolean,
  draining: boolean,
): Promise<Readiness> {
  const [index, disk] = await Promise.allSettled([metadata.repositories.get('-'), access(dataDir, constants.W_OK)])
  const checks = {
    metadata: index.status === 'fulfilled' ? 'ok' : 'unreadable',
    disk: disk.status === 'fulfilled' ? 'ok' : 'not writable',
    blobs: degraded ? 'degraded: the last one could not be stored' : 'ok',
    draining,
  }
  return { ready: index.status === 'fulfilled' && !draining, checks }
}

/** An instance whose fronts are all gone serves nobody, until one of them is replaced. */
function withFronts({ ready, checks }: Readiness, { state: { count, serving } }: Fronts): Readiness {
  return { ready: ready && serving > 0, checks: { ...checks, workers: `${serving} of ${count}` } }
}

/** What fronts have counted is counted with the rest before anybody is told. */
const countingFronts = (desk: Desk, fronts: Fronts): Desk => ({
  ...desk,
  stats: async () => {
    await fronts.reports()
    return desk.stats()
  },
})
