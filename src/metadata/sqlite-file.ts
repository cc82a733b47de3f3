import { closeSync, copyFileSync, existsSync, openSync, renameSync, rmSync } from 'node:fs'
import { open as openFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { backup, type DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { publish } from '../telemetry/events.ts'
import { assertSound, isCorruption, openDatabase } from './sqlite-database.ts'

/** What the file knows of itself. */
const about = 'about'

/**
 * A database file that replaces itself: found corrupt, at the start or later, it is set aside as `<path>.corrupt-<n>`,
 * and its latest sound backup takes its place, or a fresh one is begun. What is lost makes Cistern slower, never wrong.
 */
export class SqliteFile {
  readonly #path: string
  readonly #tables: readonly string[]
  readonly #clock: () => number
  readonly #statements = new Map<string, StatementSync>()
  #database: DatabaseSync
  #since = 0
  #changed = true

  constructor(path: string, tables: readonly string[], clock: () => number) {
    this.#path = path
    this.#tables = [about, ...tables]
    this.#clock = clock
    this.#database = this.#open()
    this.#since = Number((this.first(`SELECT value FROM ${about} WHERE key = 'since'`) as Row | undefined)?.value ?? 0)
  }

  /** When the file was begun, or put in the place of a lost one. */
  get since(): number {
    return this.#since
  }

  first(sql: string, ...values: SQLInputValue[]): unknown {
    return this.#whole(() => this.#statement(sql).get(...values))
  }

  all(sql: string, ...values: SQLInputValue[]): unknown[] {
    return this.#whole(() => this.#statement(sql).all(...values))
  }

  /** Tells whether anything changed. */
  run(sql: string, ...values: SQLInputValue[]): boolean {
    const changed = this.#whole(() => this.#statement(sql).run(...values).changes) > 0
    this.#changed ||= changed
    return changed
  }

  /** Copies the file as it stands, if it changed since the last time. The copy before that is kept as well. */
  async backup(): Promise<void> {
    if (!this.#changed) return
    this.#changed = false
    const [latest, previous] = backupsOf(this.#path)
    const draft = `${latest}.draft`
    try {
      await rm(draft, { force: true })
      closeSync(openSync(draft, 'wx', 0o600))
      await backup(this.#database, draft)
      if (existsSync(latest)) await rename(latest, previous)
      await rename(draft, latest)
      await using directory = await openFile(dirname(this.#path))
      await directory.sync()
    } catch (error) {
      this.#changed = true
      await rm(draft, { force: true })
      throw error
    }
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
      this.#database = this.#replace(error)
      return work()
    }
  }

  #open(): DatabaseSync {
    if (!existsSync(this.#path)) return this.#begin()
    try {
      return openDatabase(this.#path, this.#tables)
    } catch (error) {
      if (!isCorruption(error)) throw error
      return this.#replace(error)
    }
  }

  #replace(error: unknown): DatabaseSync {
    let n = 1
    while (existsSync(`${this.#path}.corrupt-${n}`)) n++
    for (const suffix of sidecars) {
      if (existsSync(this.#path + suffix)) renameSync(this.#path + suffix, `${this.#path}.corrupt-${n}${suffix}`)
    }
    const message = `the metadata were corrupt and are set aside as ${this.#path}.corrupt-${n}`
    publish('cistern:fault', { where: 'metadata', kind: 'corrupt', message, error })
    return this.#begin()
  }

  /** From the latest sound backup, where there is one. */
  #begin(): DatabaseSync {
    this.#statements.clear()
    const database = this.#restore() ?? openDatabase(this.#path, this.#tables)
    this.#since = this.#clock()
    database.prepare(`INSERT OR REPLACE INTO ${about} (key, value) VALUES ('since', ?)`).run(String(this.#since))
    return database
  }

  #restore(): DatabaseSync | undefined {
    for (const copy of backupsOf(this.#path).filter((path) => existsSync(path))) {
      let database: DatabaseSync | undefined
      try {
        copyFileSync(copy, this.#path)
        database = openDatabase(this.#path, this.#tables)
        assertSound(database)
        publish('cistern:fault', { where: 'metadata', kind: 'corrupt', message: `the metadata are those of ${copy}` })
        return database
      } catch (error) {
        if (database?.isOpen) database.close()
        for (const suffix of sidecars) rmSync(this.#path + suffix, { force: true })
        const message = `the backup ${copy} could not be used`
        publish('cistern:fault', { where: 'metadata', kind: 'corrupt', message, error })
      }
    }
    return undefined
  }
}

type Row = { value: string }

/** The file itself, and those that SQLite keeps beside it. */
const sidecars = ['', '-wal', '-shm']

const backupsOf = (path: string) => [`${path}.backup`, `${path}.backup-previous`] as const
