import { setImmediate as nextTurn } from 'node:timers/promises'
import { publish } from '../telemetry/events.ts'
import type { Collection, KeyRange, Link, Metadata, ReferrersRecord, RepositoryRecord, Tag } from './metadata.ts'
import { isRefusal } from './sqlite-database.ts'
import { SqliteFile } from './sqlite-file.ts'

const tables = ['repositories', 'links', 'tags', 'referrers'] as const
type Table = (typeof tables)[number]

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
  readonly #file: SqliteFile
  readonly #backups: NodeJS.Timeout

  /** Throws where the file was written by a newer version, and what the file system throws. */
  static open(path: string, { clock = Date.now, backupIntervalMs = 5 * 60_000 }: SqliteOptions = {}): SqliteMetadata {
    return new SqliteMetadata(new SqliteFile(path, tables, clock), backupIntervalMs)
  }

  private constructor(file: SqliteFile, backupIntervalMs: number) {
    this.#file = file
    this.#backups = setInterval(() => void this.#backUp(), backupIntervalMs).unref()
    this.repositories = new SqliteCollection(file, 'repositories')
    this.links = new SqliteCollection(file, 'links')
    this.tags = new SqliteCollection(file, 'tags')
    this.referrers = new SqliteCollection(file, 'referrers')
  }

  get since(): number {
    return this.#file.since
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

/** How many entries are read at a time. No statement stays open while the reader of entries does something else. */
const chunkSize = 256

/** Sorts after every key there is. */
const end = '\u{10ffff}'

type Row = { key: string; value: string }

class SqliteCollection<T> implements Collection<T> {
  readonly #file: SqliteFile
  readonly #table: Table

  constructor(file: SqliteFile, table: Table) {
    this.#file = file
    this.#table = table
  }

  async get(key: string): Promise<T | undefined> {
    const row = this.#file.first(`SELECT key, value FROM ${this.#table} WHERE key = ?`, key) as Row | undefined
    return row && this.#read(row)
  }

  async set(key: string, value: T): Promise<void> {
    this.#write(`INSERT OR REPLACE INTO ${this.#table} (key, value) VALUES (?, ?)`, key, JSON.stringify(value))
  }

  async create(key: string, value: T): Promise<boolean> {
    return this.#write(`INSERT OR IGNORE INTO ${this.#table} (key, value) VALUES (?, ?)`, key, JSON.stringify(value))
  }

  async delete(key: string): Promise<boolean> {
    return this.#write(`DELETE FROM ${this.#table} WHERE key = ?`, key)
  }

  async *entries({ prefix = '', after = '', limit = Infinity }: KeyRange = {}): AsyncIterable<[string, T]> {
    const select = `SELECT key, value FROM ${this.#table} WHERE`
    const before = prefix === '' ? end : successor(prefix)
    let operator = after >= prefix ? '>' : '>='
    let from = after >= prefix ? after : prefix
    let left = limit
    while (left > 0) {
      const rows = this.#file.all(
        `${select} key ${operator} ? AND key < ? ORDER BY key LIMIT ?`,
        from,
        before,
        chunkSize,
      )
      for (const row of rows as Row[]) {
        const value = this.#read(row)
        if (value === undefined) continue
        yield [row.key, value]
        if (--left === 0) return
      }
      const last = rows.at(-1) as Row | undefined
      if (!last || rows.length < chunkSize) return
      await nextTurn()
      operator = '>'
      from = last.key
    }
  }

  #write(sql: string, key: string, ...values: string[]): boolean {
    try {
      return this.#file.run(sql, key, ...values)
    } catch (error) {
      if (!isRefusal(error)) throw error
      const message = `${this.#table} could not be written`
      publish('cistern:fault', { where: 'metadata', kind: 'internal', message, reference: key, error })
      return false
    }
  }

  #read({ key, value }: Row): T | undefined {
    try {
      return JSON.parse(value)
    } catch (error) {
      this.#write(`DELETE FROM ${this.#table} WHERE key = ?`, key)
      const message = `an unreadable entry of ${this.#table} was forgotten`
      publish('cistern:fault', { where: 'metadata', kind: 'corrupt', message, reference: key, error })
      return undefined
    }
  }
}

/** The least key that sorts after all that start with `prefix`. Keys are ASCII. */
const successor = (prefix: string): string =>
  prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1)
