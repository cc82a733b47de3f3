import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Algorithm, algorithmOf, type Digest, hexOf, isDigest } from '../oci/digest.ts'
import { corrupt, unavailable } from '../oci/errors.ts'
import { publish } from '../telemetry/events.ts'
import type { BlobInfo, BlobStore, BlobWriter, OpenBlob } from './blob-store.ts'
import { BufferPool } from './buffer-pool.ts'
import { DiskBlob } from './disk-blob.ts'
import { DiskWriter } from './disk-writer.ts'
import { type FileSystem, isCode, nodeFileSystem, type OpenFile } from './file-system.ts'
import { Quarantine } from './quarantine.ts'

/**
 * Blobs as files.
 *
 *     v1/blobs/sha256/3f/3f9a…        a blob, whole and verified; its mtime is its last use
 *     v1/ingest/<uuid>                a blob in the making, worth nothing after a crash
 *     v1/quarantine/sha256-3f9a…-1    what was found damaged in place of a blob
 *
 * The directory is the truth about bytes: a file under `blobs/` was hashed before it was renamed there, and renamed
 * only after it was synced. `v1` is the format; another format is another directory, never a migration in place.
 */
export class DiskStore implements BlobStore {
  readonly #root: string
  readonly #files: FileSystem
  readonly #quarantine: Quarantine
  readonly #pool = new BufferPool()

  private constructor(root: string, files: FileSystem) {
    this.#root = root
    this.#files = files
    this.#quarantine = new Quarantine(join(root, 'quarantine'), files)
  }

  /** Opens the store below `dataDir`, making it where it is missing. Leftovers of transfers of a dead process go. */
  static async open(dataDir: string, files: FileSystem = nodeFileSystem): Promise<DiskStore> {
    const root = join(dataDir, 'v1')
    await files.rm(join(root, 'ingest'), { recursive: true, force: true })
    await files.mkdir(join(root, 'ingest'), { recursive: true })
    for (const algorithm of algorithms) {
      const made = await files.mkdir(join(root, 'blobs', algorithm), { recursive: true })
      if (made) for (const parent of [join(root, 'blobs'), root, dataDir]) await syncDirectory(files, parent)
    }
    return new DiskStore(root, files)
  }

  /** The store that another process has open below `dataDir`: to read from, and for nothing else. */
  static reading(dataDir: string, files: FileSystem = nodeFileSystem): Pick<DiskStore, 'open'> {
    return new DiskStore(join(dataDir, 'v1'), files)
  }

  async stat(digest: Digest): Promise<BlobInfo | undefined> {
    const stats = await this.#files.lstat(this.#path(digest)).catch(() => undefined)
    return stats?.isFile() ? { digest, size: stats.size, usedAt: stats.mtimeMs } : undefined
  }

  async open(digest: Digest): Promise<OpenBlob | undefined> {
    try {
      return await this.#open(digest)
    } catch (cause) {
      if (isCode(cause, 'EMFILE', 'ENFILE', 'ENOMEM')) {
        throw unavailable('too many files are open', { cause, retryAfterMs: 1000 })
      }
      throw corrupt('a stored blob cannot be opened', { cause })
    }
  }

  async create(algorithm: Algorithm): Promise<BlobWriter> {
    const temporary = join(this.#root, 'ingest', randomUUID())
    const file = await this.#files.open(temporary, 'wx+', 0o640)
    return new DiskWriter(file, algorithm, {
      publish: (digest) => this.#publish(temporary, digest),
      abandon: () => this.#files.rm(temporary, { force: true }),
    })
  }

  async touch(digest: Digest, usedAt: number): Promise<void> {
    const at = usedAt / 1000
    await this.#files.lutimes(this.#path(digest), at, at).catch((error: unknown) => {
      if (!isCode(error, 'ENOENT')) throw error
    })
  }

  async delete(digest: Digest): Promise<boolean> {
    try {
      await this.#files.unlink(this.#path(digest))
      return true
    } catch (error) {
      if (isCode(error, 'ENOENT')) return false
      throw error
    }
  }

  async quarantine(digest: Digest, found?: OpenBlob): Promise<boolean> {
    const path = this.#path(digest)
    if (found instanceof DiskBlob) {
      const there = await this.#files.lstat(path).catch(() => undefined)
      if (!there || !found.isFile(there)) return false
    }
    return this.#quarantine.take(path, digest)
  }

  async *list(): AsyncIterable<BlobInfo> {
    for (const algorithm of algorithms) {
      const shards = await this.#files.readdir(join(this.#root, 'blobs', algorithm))
      for (const shard of shards.sort()) {
        const names = await this.#files.readdir(join(this.#root, 'blobs', algorithm, shard))
        for (const name of names.sort()) {
          const digest = `${algorithm}:${name}`
          const info = isDigest(digest) ? await this.stat(digest) : undefined
          if (info) yield info
        }
      }
    }
  }

  async #open(digest: Digest): Promise<OpenBlob | undefined> {
    const file = await this.#openPlain(this.#path(digest))
    if (!file) return undefined
    try {
      const stats = await file.stat()
      if (stats.isFile()) return new DiskBlob(file, stats, this.#pool)
    } catch (error) {
      await file.close()
      throw error
    }
    await file.close()
    return undefined
  }

  /** Neither follows a link nor waits for the other end of a pipe: what is no plain file was not put there by us. */
  async #openPlain(path: string): Promise<OpenFile | undefined> {
    try {
      return await this.#files.open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    } catch (error) {
      if (isCode(error, 'ENOENT', 'ELOOP', 'ENXIO', 'ENOTDIR', 'EACCES')) return undefined
      throw error
    }
  }

  /** Gives a synced file its name, durably: the name, and the directory that may be new, survive a power cut. */
  async #publish(temporary: string, digest: Digest): Promise<void> {
    const target = this.#path(digest)
    const directory = dirname(target)
    const made = await this.#files.mkdir(directory, { recursive: true })
    const there = made ? undefined : await this.#files.lstat(target).catch(() => undefined)
    if (there && !there.isFile()) await this.#quarantine.take(target, digest)
    await this.#files.rename(temporary, target)
    try {
      await syncDirectory(this.#files, directory)
      if (made) await syncDirectory(this.#files, dirname(directory))
    } catch (error) {
      const message = 'the name of a blob may not survive a power cut'
      publish('cistern:fault', { where: 'blobs', kind: 'internal', message, reference: digest, error })
    }
  }

  #path(digest: Digest): string {
    const hex = hexOf(digest)
    return join(this.#root, 'blobs', algorithmOf(digest), hex.slice(0, 2), hex)
  }
}

const algorithms: Algorithm[] = ['sha256', 'sha512']

async function syncDirectory(files: FileSystem, path: string): Promise<void> {
  await using directory = await files.open(path, 'r')
  await directory.sync()
}
