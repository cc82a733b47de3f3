import { mkdir, readdir, readFile, rm, symlink, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { digestOfBytes } from '../faults/client.ts'
import type { Fault, FaultyUpstream } from '../support/faulty-upstream.ts'
import type { Dice } from './dice.ts'

/** Makes one of the next answers of the upstream fail. */
export function troubleUpstream(upstream: FaultyUpstream, dice: Dice): void {
  const at = dice.below(300_000)
  const faults: Fault[] = [
    { resetAfter: at },
    { endAfter: at, framing: 'chunked' },
    { endAfter: at, framing: 'close' },
    { corruptAt: at },
    { surplus: 10 },
    { status: 500, body: '{}' },
    { status: 503, body: '<html>' },
    { reset: true },
    { delayMs: 200 },
    { ignoreRange: true },
    { pauseAfter: at, resume: new Promise((resolve) => setTimeout(resolve, 100)) },
  ]
  upstream.fault(dice.pick(['blob', 'blob', 'manifest'] as const), { ...dice.pick(faults), times: 1 })
}

/** The blob files of a store, by their digests. */
export async function blobFiles(dataDir: string): Promise<Map<string, { path: string; isFile: boolean }>> {
  const root = join(dataDir, 'v1', 'blobs', 'sha256')
  const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => [])
  const blobs = entries.filter(({ name }) => name.length === 64)
  return new Map(
    blobs.map((entry) => [
      `sha256:${entry.name}`,
      { path: join(entry.parentPath, entry.name), isFile: entry.isFile() },
    ]),
  )
}

/** Damages one file of a store as disks and operators do, and resolves to its digest. */
export async function troubleDisk(dataDir: string, dice: Dice): Promise<string | undefined> {
  const files = await blobFiles(dataDir)
  if (files.size === 0) return undefined
  const [digest, { path }] = dice.pick(files)
  const replace = (plant: () => Promise<unknown>) => rm(path, { recursive: true, force: true }).then(plant)
  const damages = [
    () => truncate(path, 0),
    () => truncate(path, 1000),
    () => rm(path, { recursive: true, force: true }),
    () => replace(() => mkdir(path)),
    () => replace(() => symlink('/etc/hostname', path)),
  ]
  await dice
    .pick(damages)()
    .catch(() => {}) // evicted, or replaced, meanwhile
  return digest
}

/** The digests of blob files that hold something else, and how many bytes all of them have. */
export async function inspect(dataDir: string): Promise<{ wrong: string[]; bytes: number }> {
  const wrong: string[] = []
  let bytes = 0
  for (const [digest, { path, isFile }] of await blobFiles(dataDir)) {
    const content = isFile ? await readFile(path).catch(absent) : Buffer.alloc(0)
    if (!content) continue
    if (!isFile || digestOfBytes(content) !== digest) wrong.push(digest)
    bytes += content.length
  }
  return { wrong, bytes }
}

/** A file that was evicted, or put aside, since it was listed is neither right nor wrong. */
function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
