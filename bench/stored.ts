import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { DiskStore } from '../src/blobs/disk.ts'
import { type FileSystem, nodeFileSystem } from '../src/blobs/file-system.ts'
import { linkKey, tagKey } from '../src/metadata/metadata.ts'
import { SqliteMetadata } from '../src/metadata/sqlite.ts'
import { digestOf } from '../src/oci/digest.ts'

const upstream = 'http://127.0.0.1:1'
const mediaType = 'application/vnd.oci.image.manifest.v1+json'
const tagsPerRepository = 1000
const atATime = 16

/** Lays out what a Cistern has that has pulled `count` manifests, each by a tag of its own: it is not running yet. */
export async function store(dataDir: string, prefix: string, count: number): Promise<void> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const blobs = await DiskStore.open(dataDir, unsynced)
  await using metadata = SqliteMetadata.open(join(dataDir, 'metadata.db'))
  const numbers = Array.from({ length: count }, (_, n) => n).values()
  const storeOn = async () => {
    for (const n of numbers) await storeOne(blobs, metadata, `${prefix}/stored/${Math.floor(n / tagsPerRepository)}`, n)
  }
  await Promise.all(Array.from({ length: atATime }, storeOn))
}

async function storeOne(blobs: DiskStore, metadata: SqliteMetadata, repository: string, n: number): Promise<void> {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, annotations: { n: String(n) } }))
  const digest = digestOf(bytes)
  await using writer = await blobs.create('sha256')
  await writer.write(bytes)
  await writer.commit({ digest })
  const now = Date.now()
  await metadata.repositories.create(repository, { createdAt: now })
  await metadata.links.set(linkKey(repository, digest), { size: bytes.length, mediaType, upstream, linkedAt: now })
  await metadata.tags.set(tagKey(repository, `v${n}`), { digest, upstream, checkedAt: now, movedAt: now })
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
