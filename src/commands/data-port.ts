import { join } from 'node:path'
import { SingleFlight } from '../async/single-flight.ts'
import { Stored } from '../cache/stored.ts'
import type { Fronts } from '../cluster.ts'
import { type Config, ConfigError } from '../config.ts'
import type { App } from '../http/app.ts'
import type { Proof } from '../http/certificate.ts'
import { listenOnSocket } from '../http/control/socket.ts'
import { attendance } from '../http/front/attendance.ts'
import { maxHeadSize } from '../http/front/line.ts'
import { listen } from '../http/listen.ts'
import { PreparedAnswers } from '../http/prepared.ts'
import { QuickAnswers } from '../http/quick.ts'
import { urlOf } from '../http/server.ts'
import type { Tally } from '../inspection/tally.ts'
import { publish } from '../telemetry/events.ts'
import type { Core } from './core.ts'

/** What prepared answers may take in memory, in each process that serves clients. */
const preparedBytes = 16 * 1024 * 1024

/** Where clients come in. Its owner disposes it, which gives answers under way the time to finish. */
export type DataPort = AsyncDisposable & { readonly url: string }

/** Where the owner answers its fronts. */
const frontSocket = (dataDir: string): string => join(dataDir, 'fronts.sock')

/** Serves clients by this process, or by `fronts`. Throws `ConfigError`, and what the system throws. */
export function openDataPort(
  app: App,
  config: Config,
  { core, certificate, fronts }: { core: Core; certificate: Proof | undefined; fronts: Fronts | undefined },
): Promise<DataPort> {
  return fronts ? openBehind(fronts, app, config, core, certificate) : openHere(app, config, core, certificate)
}

const served = ({ timeouts }: Config) => ({
  writeStallMs: timeouts.writeStallMs,
  headersTimeoutMs: timeouts.requestHeadMs,
})

async function openHere(app: App, config: Config, core: Core, certificate: Proof | undefined): Promise<DataPort> {
  const { uses } = core.storage
  const prepared = new PreparedAnswers({
    maxBytes: preparedBytes,
    changes: core.changes,
    used: (digest) => uses.note(digest),
    clock: Date.now,
  })
  const listener = await listen(app, {
    ...config.listen,
    ...served(config),
    maxConnections: config.limits.connections,
    maxConnectionsPerClient: config.limits.connectionsPerClient,
    quick: new QuickAnswers({ prepared, proves: proves(config) }),
    trustedProxies: config.trustedProxies,
    ...(certificate && { certificate }),
  })
  return { url: listener.url, [Symbol.asyncDispose]: () => listener.close(config.timeouts.drainMs) }
}

const proves = ({ auth }: Config): boolean => auth.mode === 'required'

/** The door closes first, and the fronts go before the socket that what runs in them needs. */
async function openBehind(
  fronts: Fronts,
  app: App,
  config: Config,
  core: Core,
  certificate: Proof | undefined,
): Promise<DataPort> {
  const { listen: place, limits, trustedProxies, timeouts, dataDir } = config
  await using opened = new AsyncDisposableStack()
  opened.use(
    await listenOnSocket(app, frontSocket(dataDir), {
      ...served(config),
      maxConnections: Number.MAX_SAFE_INTEGER, // the door has bounds
      keepAliveTimeoutMs: 0,
      maxHeaderSize: maxHeadSize,
      attendant: attendance({ changes: core.changes, postscript: fronts.postscript }),
      settle: fronts.settled,
    }).catch((error: Error) => {
      throw new ConfigError([`workers: more than one needs a socket, and none could be made: ${error.message}`])
    }),
  )
  opened.defer(() => fronts.close(timeouts.drainMs))
  const { Door } = await import('../cluster/door.ts')
  const door = await Door.open({
    ...place,
    maxConnections: limits.connections,
    maxConnectionsPerClient: limits.connectionsPerClient,
    trustedProxies,
    tells: !certificate,
    waitMs: timeouts.requestHeadMs,
    takeMs: 10 * timeouts.requestHeadMs,
  })
  opened.defer(() => door.close())
  await fronts.open(door)
  const parts = opened.move()
  return { url: urlOf(place.host, door.port, certificate), [Symbol.asyncDispose]: () => parts.disposeAsync() }
}

/** Those that the configuration wants; `undefined` where this process serves clients itself. */
export async function frontsOf(
  config: Config,
  { changes, storage, book }: Core,
  certificate: Proof | undefined,
  tally: Tally,
): Promise<Fronts | undefined> {
  const { workers } = config
  if (workers === 1) return undefined
  const { Fronts } = await import('../cluster.ts')
  const stored = new Stored(storage.blobs, true)
  const examined = new SingleFlight<unknown>()
  return new Fronts({
    count: workers,
    common: {
      dataDir: config.dataDir,
      socketPath: frontSocket(config.dataDir),
      logLevel: config.log.level,
      proves: proves(config),
      trustedProxies: config.trustedProxies,
      ...served(config),
      preparedBytes,
    },
    certificate,
    changes,
    used: (digest) => storage.uses.note(digest),
    report: ({ counts }) => {
      for (const [repository, more] of counts) tally.add(book.ruleOf(repository)?.prefix, more)
    },
    damaged: (digest, requestId) => {
      const verify = () => stored.verify(digest, () => true, { requestId })
      examined.do(digest, verify).result.catch((error: unknown) => {
        const message = 'a blob that broke while it was read could not be looked at'
        publish('cistern:fault', { where: 'blobs', kind: 'internal', message, reference: digest, requestId, error })
      })
    },
  })
}
