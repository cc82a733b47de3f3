import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, lstat, lutimes, mkdir, open, readdir, rename, rm, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { type Algorithm, algorithmOf, type Digest, hexOf, isDigest } from '../oci/digest.ts'
import type { BlobInfo, BlobStore, BlobWriter, OpenBlob } from './blob-store.ts'
import { BufferPool } from './buffer-pool.ts'
import { DiskBlob } from './disk-blob.ts'
import { DiskWriter } from './disk-writer.ts'

/**
 * Blobs as files.
 *
 *     v1/blobs/sha256/3f/3f9a…    a blob, whole and verified; its mtime is its last use
 *     v1/ingest/<uuid>            a blob in the making, worth nothing after a crash
 *
 * The directory is the truth about bytes: a file under `blobs/` was hashed before it was renamed there, and renamed
 * only after it was synced. `v1` is the format; another format is another directory, never a migration in place.
 */
export class DiskStore implements BlobStore {
  readonly #root: string
  readonly #pool = new BufferPool()

  private constructor(root: string) {
    this.#root = root
  }

  /** Opens the store below `dataDir`, making it where it is missing. Leftovers of transfers of a dead process go. */
  static async open(dataDir: string): Promise<DiskStore> {
    const root = join(dataDir, 'v1')
    await rm(join(root, 'ingest'), { recursive: true, force: true })
    await mkdir(join(root, 'ingest'), { recursive: true })
    for (const algorithm of algorithms) await mkdir(join(root, 'blobs', algorithm), { recursive: true })
    return new DiskStore(root)
  }

  async stat(digest: Digest): Promise<BlobInfo | undefined> {
    const stats = await lstat(this.#path(digest)).catch((error: unknown) => {
      if (!isCode(error, 'ENOENT', 'ENOTDIR', 'EACCES')) throw error
    })
    return stats?.isFile() ? { digest, size: stats.size, usedAt: stats.mtimeMs } : undefined
  }

  async open(digest: Digest): Promise<OpenBlob | undefined> {
    const handle = await openPlain(this.#path(digest))
    if (!handle) return undefined
    try {
      const stats = await handle.stat()
      if (stats.isFile()) return new DiskBlob(handle, stats.size, this.#pool)
    } catch (error) {
      await handle.close()
      throw error
    }
    await handle.close()
    return undefined
  }

  async create(algorithm: Algorithm): Promise<BlobWriter> {
    const temporary = join(this.#root, 'ingest', randomUUID())
    const handle = await open(temporary, 'wx+', 0o640)
    return new DiskWriter(handle, temporary, algorithm, (digest) => this.#publish(temporary, digest))
  }

  async touch(digest: Digest, usedAt: number): Promise<void> {
    const at = usedAt / 1000
    await lutimes(this.#path(digest), at, at).catch((error: unknown) => {
      if (!isCode(error, 'ENOENT')) throw error
    })
  }

  async delete(digest: Digest): Promise<boolean> {
    try {
      await unlink(this.#path(digest))
      return true
    } catch (error) {
      if (isCode(error, 'ENOENT')) return false
      throw error
    }
  }

  async *list(): AsyncIterable<BlobInfo> {
    for (const algorithm of algorithms) {
      const shards = await readdir(join(this.#root, 'blobs', algorithm))
      for (const shard of shards.sort()) {
        const names = await readdir(join(this.#root, 'blobs', algorithm, shard))
        for (const name of names.sort()) {
          const digest = `${algorithm}:${name}`
          const info = isDigest(digest) ? await this.stat(digest) : undefined
          if (info) yield info
        }
      }
    }
  }

  /** Gives a synced file its name, durably: the name, and the directory that may be new, survive a power cut. */
  async #publish(temporary: string, digest: Digest): Promise<void> {
    const target = this.#path(digest)
    const directory = join(target, '..')
    const made = await mkdir(directory, { recursive: true })
    await rename(temporary, target)
    await syncDirectory(directory)
    if (made) await syncDirectory(join(directory, '..'))
  }

  #path(digest: Digest): string {
    const hex = hexOf(digest)
    return join(this.#root, 'blobs', algorithmOf(digest), hex.slice(0, 2), hex)
  }
}

const algorithms: Algorithm[] = ['sha256', 'sha512']

/** Neither follows a link nor waits for the other end of a pipe: what is no plain file was not put there by us. */
async function openPlain(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ELOOP', 'ENXIO', 'ENOTDIR', 'EACCES')) return undefined
    throw error
  }
}

async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, 'r')
  await directory.sync()
}

const isCode = (error: unknown, ...codes: string[]): boolean =>
  error instanceof Error && 'code' in error && codes.includes(String(error.code))
