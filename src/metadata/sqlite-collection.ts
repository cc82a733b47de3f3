import { setImmediate as nextTurn } from 'node:timers/promises'
import { publish } from '../telemetry/events.ts'
import type { Collection, KeyRange } from './metadata.ts'
import { isRefusal } from './sqlite-database.ts'
import type { SqliteFile } from './sqlite-file.ts'

/** How many entries are read at a time. No statement stays open while the reader of entries does something else. */
const chunkSize = 256

/** Sorts after every key there is. */
const end = '\u{10ffff}'

type Row = { key: string; value: string }

/**
 * A table whose values are JSON. In a file that is expendable a value that cannot be read is forgotten, and a write
 * that the disk refuses is dropped: both are announced. In another one both throw.
 */
export class SqliteCollection<T> implements Collection<T> {
  readonly #file: SqliteFile
  readonly #table: string

  constructor(file: SqliteFile, table: string) {
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
      if (!this.#file.expendable || !isRefusal(error)) throw error
      const message = `${this.#table} could not be written`
      publish('cistern:fault', { where: 'metadata', kind: 'internal', message, reference: key, error })
      return false
    }
  }

  #read({ key, value }: Row): T | undefined {
    try {
      return JSON.parse(value)
    } catch (error) {
      if (!this.#file.expendable) throw error
      this.#write(`DELETE FROM ${this.#table} WHERE key = ?`, key)
      const message = `an unreadable entry of ${this.#table} was forgotten`
      publish('cistern:fault', { where: 'metadata', kind: 'corrupt', message, reference: key, error })
      return undefined
    }
  }
}

/** The least key that sorts after all that start with `prefix`. Keys are ASCII. */
export const successor = (prefix: string): string =>
  prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1)
