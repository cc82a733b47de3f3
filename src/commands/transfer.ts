import { mkdir } from 'node:fs/promises'
import { StoreFull } from '../blobs/bounded.ts'
import { Links } from '../cache/links.ts'
import type { Config } from '../config.ts'
import { nameOf } from '../http/oci/names.ts'
import { unavailable } from '../oci/errors.ts'
import { type Exported, exportBundle } from '../transfer/export.ts'
import { Holdings } from '../transfer/holdings.ts'
import { type ImportReport, type ImportRequest, importBundle } from '../transfer/import.ts'
import { exportRequestOf, warmRequestOf } from '../transfer/request.ts'
import { type WarmEvent, warm } from '../transfer/warm.ts'
import { type Core, openCore } from './core.ts'
import { meantBy } from './names.ts'

/** Before an upstream that could not answer is asked again for the same. */
const warmPauseMs = 1000

/** What commands have a cache do with whole images: the one of a running instance, or one that is opened for that. */
export type Transfers = {
  export: (asked: unknown) => Promise<Exported>
  import: (bundle: AsyncIterable<Uint8Array>, request: ImportRequest) => Promise<ImportReport>
  /** The signal is aborted when nobody wants the images any more. */
  warm: (asked: unknown, signal: AbortSignal) => AsyncIterable<WarmEvent>
}

export function openTransfers(config: Config, core: Core): Transfers {
  const { metadata, book, images, storage, settings, deletion, directory, fills, quotas, clock } = core
  const { blobs, holds } = storage
  const meant = meantBy(config.publicUrl)
  const common = {
    metadata,
    blobs,
    holds,
    holdings: new Holdings(images, blobs),
    placeOf: (name: string) =>
      nameOf(name, book, async (repository) => (await metadata.repositories.get(repository)) !== undefined),
  }
  return {
    export: async (asked) => {
      const request = exportRequestOf(asked)
      return exportBundle({ ...request, names: request.names.map(meant) }, common)
    },
    import: (bundle, request) =>
      importBundle(bundle, request, {
        ...common,
        meant,
        vouch: ({ rule, repository }, digest, facts) =>
          new Links({ metadata, decisions: settings, clock }, rule?.upstream).vouch(repository, digest, facts),
        isImmutable: (repository, tag) => settings.isImmutable(repository, tag),
        clock,
        room: () => blobs.room(),
        free: (digests) => deletion.free(digests),
      }).finally(core.changes.note),
    warm: (asked, signal) => {
      const request = warmRequestOf(asked)
      return warm(
        { ...request, references: request.references.map(meant) },
        {
          ...common,
          quotas,
          offline: config.offline,
          pauseMs: warmPauseMs,
          registryOf: (rule) => directory.registryOf(rule),
          isStored: async (digest) => (await blobs.stat(digest)) !== undefined,
          makeRoom: (bytes) => blobs.makeRoom(bytes).catch(toldAsFull),
          settled: async (digest, rule) => fills.find(digest, rule.upstream)?.ended,
        },
        signal,
      )
    },
  }
}

function toldAsFull(error: unknown): never {
  throw error instanceof StoreFull ? unavailable(`it does not fit: ${error.message}`) : error
}

/** The same of a cache that no instance has, for as long as `use` takes. Throws `DataDirInUse`. */
export async function atTransfers<T>(
  config: Config,
  use: (transfers: Transfers, core: Core) => Promise<T>,
): Promise<T> {
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 })
  await using core = await openCore(config)
  return await use(openTransfers(config, core), core)
}
