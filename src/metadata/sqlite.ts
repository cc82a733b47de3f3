import type { Digest } from '../oci/digest.ts'
import { publish } from '../telemetry/events.ts'
import {
  type Collection,
  type Link,
  type Metadata,
  type PullRecord,
  type ReferrersRecord,
  type RepositoryRecord,
  type Tag,
  tagKey,
} from './metadata.ts'
import { SqliteCollection, successor } from './sqlite-collection.ts'
import { SqliteFile } from './sqlite-file.ts'

const tables = ['repositories', 'links', 'tags', 'referrers', 'pulls'] as const

/** Of a tag; of one that cannot be read, nothing. */
const targetOfTag = "CASE WHEN json_valid(value) THEN value ->> '$.digest' END"
const indexes = [`CREATE INDEX IF NOT EXISTS tags_by_target ON tags (${targetOfTag})`]

export type SqliteOptions = {
  clock?: () => number
  /** How often the file is copied, if it changed. */
  backupIntervalMs?: number
}

/**
 * One table per collection, values as JSON. A value that cannot be read is forgotten, and a write that the disk
 * refuses is dropped: both are announced, and neither may cost a client its answer.
 */
export class SqliteMetadata implements Metadata {
  readonly repositories: Collection<RepositoryRecord>
  readonly links: Collection<Link>
  readonly tags: Collection<Tag>
  readonly referrers: Collection<ReferrersRecord>
  readonly pulls: Collection<PullRecord>
  readonly #file: SqliteFile
  readonly #backups: NodeJS.Timeout

  /** Throws where the file was written by a newer version, and what the file system throws. */
  static open(path: string, { clock = Date.now, backupIntervalMs = 5 * 60_000 }: SqliteOptions = {}): SqliteMetadata {
    return new SqliteMetadata(new SqliteFile(path, tables, { clock, expendable: true, indexes }), backupIntervalMs)
  }

  private constructor(file: SqliteFile, backupIntervalMs: number) {
    this.#file = file
    this.#backups = setInterval(() => void this.#backUp(), backupIntervalMs).unref()
    this.repositories = new SqliteCollection(file, 'repositories')
    this.links = new SqliteCollection(file, 'links')
    this.tags = new SqliteCollection(file, 'tags')
    this.referrers = new SqliteCollection(file, 'referrers')
    this.pulls = new SqliteCollection(file, 'pulls')
  }

  get since(): number {
    return this.#file.since
  }

  async tagsOf(repository: string, digest: Digest): Promise<string[]> {
    const prefix = tagKey(repository, '')
    const select = `SELECT key FROM tags WHERE ${targetOfTag} = ? AND key >= ? AND key < ? ORDER BY key`
    const rows = this.#file.all(select, digest, prefix, successor(prefix)) as { key: string }[]
    return rows.map(({ key }) => key.slice(prefix.length))
  }

  /** Copies the file beside itself, for the day when it is found corrupt. Throws what the file system throws. */
  backup(): Promise<void> {
    return this.#file.backup()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#backups)
    this.#file.close()
  }

  async #backUp(): Promise<void> {
    try {
      await this.backup()
    } catch (error) {
      publish('cistern:fault', { where: 'metadata', kind: 'internal', message: 'no backup could be made', error })
    }
  }
}
