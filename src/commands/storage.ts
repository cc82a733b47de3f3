import { Holds } from '../async/holds.ts'
import { BoundedStore } from '../blobs/bounded.ts'
import { DiskStore } from '../blobs/disk.ts'
import type { FileSystem } from '../blobs/file-system.ts'
import { lackingOn } from '../blobs/volume.ts'
import { Evictor } from '../cache/evict.ts'
import { ManifestMemory } from '../cache/manifest-memory.ts'
import { Uses } from '../cache/uses.ts'
import type { Config } from '../config.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import type { RuleBook } from '../rules/rule-book.ts'
import { publish } from '../telemetry/events.ts'

/** Where eviction stops, as a part of `cache.maxSize`, or of what a smaller volume lets the store have. */
const lowMark = 0.9

/** How often images are looked for that are past `cache.maxAge`. */
const agingIntervalMs = 60 * 60_000

/** The store of an instance and who keeps it within its bounds. Its owner disposes it. */
export type Storage = Disposable & {
  blobs: BoundedStore
  memory: ManifestMemory
  uses: Uses
  /** What eviction leaves alone for now. */
  holds: Holds<Digest>
  evictor: Evictor
}

export async function openStorage(
  { dataDir, cache }: Config,
  metadata: Metadata,
  book: RuleBook,
  { clock, fileSystem }: { clock: () => number; fileSystem?: FileSystem | undefined },
): Promise<Storage> {
  const disk = await DiskStore.open(dataDir, fileSystem)
  const makeRoom = async (excess: number) => {
    await evictor.run({ excess: excess + Math.min(cache.maxSize, blobs.usage.stored) * (1 - lowMark) })
  }
  const bounds = { maxSize: cache.maxSize, lacking: () => lackingOn(dataDir, cache.minFree) }
  const blobs = new BoundedStore(disk, bounds, makeRoom)
  const memory = new ManifestMemory(cache.manifestMemory)
  const uses = new Uses(blobs, clock)
  const holds = new Holds<Digest>()
  const ruleOf = (repository: string) => book.ruleOf(repository)
  const evictor = new Evictor({ blobs, metadata, memory, uses, holds, clock, ruleOf })
  const age = () => {
    if (cache.maxAge === undefined) return
    evictor.run({ excess: 0, unusedSince: clock() - cache.maxAge }).catch((error: unknown) => {
      publish('cistern:fault', { where: 'blobs', kind: 'internal', message: 'old images could not be evicted', error })
    })
  }
  const aging = setInterval(age, agingIntervalMs).unref()
  const close = () => {
    clearInterval(aging)
    blobs[Symbol.dispose]()
  }
  return { blobs, memory, uses, holds, evictor, [Symbol.dispose]: close }
}
