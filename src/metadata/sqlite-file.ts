import { closeSync, existsSync, openSync, renameSync } from 'node:fs'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { publish } from '../telemetry/events.ts'

/** Raised with each change that an older version could not read. */
const schemaVersion = 1

/**
 * A database file that replaces itself: found corrupt, at the start or later, it is set aside as `<path>.corrupt-<n>`
 * and a fresh one is begun. What it held is lost, which makes Cistern slower and never wrong.
 */
export class SqliteFile {
  readonly #path: string
  readonly #tables: readonly string[]
  readonly #statements = new Map<string, StatementSync>()
  #database: DatabaseSync

  constructor(path: string, tables: readonly string[]) {
    this.#path = path
    this.#tables = tables
    try {
      this.#database = open(path, tables)
    } catch (error) {
      if (!isCorruption(error)) throw error
      this.#database = this.#beginAfresh(error)
    }
  }

  first(sql: string, ...values: SQLInputValue[]): unknown {
    return this.#whole(() => this.#statement(sql).get(...values))
  }

  all(sql: string, ...values: SQLInputValue[]): unknown[] {
    return this.#whole(() => this.#statement(sql).all(...values))
  }

  /** Tells whether anything changed. */
  run(sql: string, ...values: SQLInputValue[]): boolean {
    return this.#whole(() => this.#statement(sql).run(...values).changes) > 0
  }

  close(): void {
    if (this.#database.isOpen) this.#database.close()
  }

  #statement(sql: string): StatementSync {
    const prepared = this.#statements.get(sql) ?? this.#database.prepare(sql)
    this.#statements.set(sql, prepared)
    return prepared
  }

  #whole<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      if (!isCorruption(error)) throw error
      this.close()
      this.#database = this.#beginAfresh(error)
      return work()
    }
  }

  #beginAfresh(error: unknown): DatabaseSync {
    this.#statements.clear()
    let n = 1
    while (existsSync(`${this.#path}.corrupt-${n}`)) n++
    for (const suffix of ['', '-wal', '-shm']) {
      if (existsSync(this.#path + suffix)) renameSync(this.#path + suffix, `${this.#path}.corrupt-${n}${suffix}`)
    }
    const message = `the metadata were corrupt; set aside as ${this.#path}.corrupt-${n} and begun afresh`
    publish('cistern:fault', { where: 'metadata', kind: 'corrupt', message, error })
    return open(this.#path, this.#tables)
  }
}

/**
 * SQLite keeps an index of its log in a file that processes share. A full disk does not take that file: then this
 * process keeps the index to itself, so that what is known can be read, and written once there is room.
 */
function open(path: string, tables: readonly string[]): DatabaseSync {
  closeSync(openSync(path, 'a', 0o600))
  try {
    return prepare(path, tables, 'NORMAL')
  } catch (error) {
    if (!isRefusal(error)) throw error
    publish('cistern:fault', { where: 'metadata', kind: 'internal', message: 'the disk takes no writes', error })
    return prepare(path, tables, 'EXCLUSIVE')
  }
}

function prepare(path: string, tables: readonly string[], locking: 'NORMAL' | 'EXCLUSIVE'): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: 1000 })
  try {
    database.exec(`PRAGMA locking_mode = ${locking}`)
    const { user_version: version } = database.prepare('PRAGMA user_version').get() as { user_version: number }
    if (version > schemaVersion) {
      throw new Error(`${path} was written by a newer version of Cistern (${version}, this one reads ${schemaVersion})`)
    }
    // NORMAL: a commit outlives the process and its kill; a power cut may take the last ones, never the file. Such a
    // fact costs one question upstream, whereas FULL would cost each write the time of an fsync on the event loop.
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
    for (const table of tables) {
      database.exec(`CREATE TABLE IF NOT EXISTS ${table} (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID`)
    }
    if (version < schemaVersion) database.exec(`PRAGMA user_version = ${schemaVersion}`)
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

/** The file is not what it should be: SQLITE_CORRUPT or SQLITE_NOTADB. */
const isCorruption = (error: unknown): boolean => hasCode(error, 11, 26)

/** The disk would not take a write: SQLITE_BUSY, SQLITE_READONLY, SQLITE_IOERR, SQLITE_FULL or SQLITE_CANTOPEN. */
export const isRefusal = (error: unknown): boolean => hasCode(error, 5, 8, 10, 13, 14)

/** Extended codes have the primary one in their low byte: https://www.sqlite.org/rescode.html */
function hasCode(error: unknown, ...codes: number[]): boolean {
  const { errcode } = error as { errcode?: number }
  return errcode !== undefined && codes.includes(errcode & 0xff)
}
