import { closeSync, copyFileSync, existsSync, openSync, renameSync, rmSync } from 'node:fs'
import { open as openFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { backup, type DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { publish } from '../telemetry/events.ts'
import { assertSound, type Durability, isCorruption, openDatabase, tableNamed } from './sqlite-database.ts'

/** What the file knows of itself. */
const about = 'about'

export type SqliteFileOptions = {
  clock: () => number
  /** What is lost of it makes Cistern slower, never wrong. */
  expendable: boolean
  /** Statements that make what is missing of them. */
  indexes?: readonly string[]
}

/**
 * A database file that replaces itself: found corrupt, at the start or later, it is set aside as `<path>.corrupt-<n>`,
 * and its latest sound backup takes its place. Without one, an expendable file is begun afresh, and any other one stays
 * where it is.
 */
export class SqliteFile {
  readonly expendable: boolean
  readonly #path: string
  readonly #schema: readonly string[]
  readonly #clock: () => number
  readonly #durability: Durability
  readonly #statements = new Map<string, StatementSync>()
  #database: DatabaseSync
  #since = 0
  #changed = true

  constructor(path: string, tables: readonly string[], { clock, expendable, indexes = [] }: SqliteFileOptions) {
    this.expendable = expendable
    this.#path = path
    this.#schema = [...[about, ...tables].map(tableNamed), ...indexes]
    this.#clock = clock
    this.#durability = expendable ? 'NORMAL' : 'FULL'
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
    if (!existsSync(this.#path)) return this.#begin(this.#restore())
    try {
      return openDatabase(this.#path, this.#schema, this.#durability)
    } catch (error) {
      if (!isCorruption(error)) throw error
      return this.#replace(error)
    }
  }

  #replace(error: unknown): DatabaseSync {
    let n = 1
    while (existsSync(`${this.#path}.corrupt-${n}`)) n++
    const aside = `${this.#path}.corrupt-${n}`
    move(this.#path, aside)
    const restored = this.#restore()
    if (!restored && !this.expendable) {
      move(aside, this.#path)
      throw new Error(`${this.#path} is corrupt, and there is no backup that could take its place`, { cause: error })
    }
    const message = `${this.#path} was corrupt and is set aside as ${aside}`
    publish('cistern:fault', { where: 'metadata', kind: 'corrupt', message, error })
    return this.#begin(restored)
  }

  /** From the latest sound backup, where there is one. */
  #begin(restored: DatabaseSync | undefined): DatabaseSync {
    this.#statements.clear()
    const database = restored ?? openDatabase(this.#path, this.#schema, this.#durability)
    this.#since = this.#clock()
    database.prepare(`INSERT OR REPLACE INTO ${about} (key, value) VALUES ('since', ?)`).run(String(this.#since))
    return database
  }

  #restore(): DatabaseSync | undefined {
    for (const copy of backupsOf(this.#path).filter((path) => existsSync(path))) {
      let database: DatabaseSync | undefined
      try {
        copyFileSync(copy, this.#path)
        database = openDatabase(this.#path, this.#schema, this.#durability)
        assertSound(database)
        publish('cistern:fault', { where: 'metadata', kind: 'corrupt', message: `${this.#path} is made of ${copy}` })
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

function move(from: string, to: string): void {
  for (const suffix of sidecars) if (existsSync(from + suffix)) renameSync(from + suffix, to + suffix)
}

const backupsOf = (path: string) => [`${path}.backup`, `${path}.backup-previous`] as const
