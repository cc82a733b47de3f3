import { mkdir } from 'node:fs/promises'
import type { Config } from '../config.ts'
import { nameOf } from '../http/oci/names.ts'
import { type Exported, exportBundle } from '../transfer/export.ts'
import { Holdings } from '../transfer/holdings.ts'
import { exportRequestOf } from '../transfer/request.ts'
import { type Core, openCore } from './core.ts'

/** What commands have a cache do with whole images: the one of a running instance, or one that is opened for that. */
export type Transfers = {
  export: (asked: unknown) => Promise<Exported>
}

export function openTransfers({ metadata, book, images, storage }: Core): Transfers {
  const { blobs, holds } = storage
  const common = {
    metadata,
    blobs,
    holds,
    holdings: new Holdings(images, blobs),
    placeOf: (name: string) =>
      nameOf(name, book, async (repository) => (await metadata.repositories.get(repository)) !== undefined),
  }
  return {
    export: async (asked) => exportBundle(exportRequestOf(asked), common),
  }
}

/** The same of a cache that no instance has, for as long as `use` takes. Throws `DataDirInUse`. */
export async function atTransfers<T>(
  config: Config,
  use: (transfers: Transfers, core: Core) => Promise<T>,
): Promise<T> {
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 })
  await using core = await openCore(config)
  return await use(openTransfers(core), core)
}
