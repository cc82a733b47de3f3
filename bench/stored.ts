import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { DiskStore } from '../src/blobs/disk.ts'
import { type FileSystem, nodeFileSystem } from '../src/blobs/file-system.ts'
import { linkKey, tagKey } from '../src/metadata/metadata.ts'
import { SqliteMetadata } from '../src/metadata/sqlite.ts'
import { digestOf } from '../src/oci/digest.ts'

const mediaType = 'application/vnd.oci.image.manifest.v1+json'
const tagsPerRepository = 1000
const atATime = 16

export type Stored = {
  dataDir: string
  /** Of the rule, and the origin that it leads to. */
  prefix: string
  upstream: string
  /** How many manifests, each with a tag of its own. */
  count: number
}

/** Lays out what a Cistern has that has pulled them: it is not running yet. */
export async function store({ dataDir, prefix, upstream, count }: Stored): Promise<void> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const blobs = await DiskStore.open(dataDir, unsynced)
  await using metadata = SqliteMetadata.open(join(dataDir, 'metadata.db'))
  const numbers = Array.from({ length: count }, (_, n) => n).values()
  const storeOn = async () => {
    for (const n of numbers) {
      const { repository, tag } = placeOf(n)
      await storeOne(blobs, metadata, { repository: `${prefix}/${repository}`, tag, upstream })
    }
  }
  await Promise.all(Array.from({ length: atATime }, storeOn))
}

/** Where the manifest of a number, from 0, is found. */
export const placeOf = (n: number) => ({ repository: `stored/${Math.floor(n / tagsPerRepository)}`, tag: `v${n}` })

type Place = { repository: string; tag: string; upstream: string }

async function storeOne(blobs: DiskStore, metadata: SqliteMetadata, { repository, tag, upstream }: Place) {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, annotations: { tag } }))
  const digest = digestOf(bytes)
  await using writer = await blobs.create('sha256')
  await writer.write(bytes)
  await writer.commit({ digest })
  const now = Date.now()
  await metadata.repositories.create(repository, { createdAt: now })
  await metadata.links.set(linkKey(repository, digest), { size: bytes.length, mediaType, upstream, linkedAt: now })
  await metadata.tags.set(tagKey(repository, tag), { digest, upstream, checkedAt: now, movedAt: now })
}

/** Nobody relies on these bytes after a power cut; a hundred thousand of them would take minutes to sync one by one. */
const unsynced: FileSystem = {
  ...nodeFileSystem,
  open: async (...args) => {
    const file = await nodeFileSystem.open(...args)
    file.sync = async () => {}
    return file
  },
}
