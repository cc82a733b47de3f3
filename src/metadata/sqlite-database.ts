import { closeSync, openSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { publish } from '../telemetry/events.ts'

/** Raised with each change that an older version could not read. */
const schemaVersion = 1

/**
 * With `NORMAL` a commit outlives the process and its kill; a power cut may take the last ones, never the file. Such a
 * fact costs one question upstream, whereas `FULL` costs each write the time of an fsync on the event loop.
 */
export type Durability = 'NORMAL' | 'FULL'

/** A table as all are: values by key. */
export const tableNamed = (name: string): string =>
  `CREATE TABLE IF NOT EXISTS ${name} (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID`

/**
 * Opens a database file, and makes what `schema`, statements of SQL, says should be there. SQLite keeps an index of its log in a file that
 * processes share. A full disk does not take that file: then this process keeps the index to itself, so that what is
 * known can be read, and written once there is room.
 */
export function openDatabase(path: string, schema: readonly string[], durability: Durability): DatabaseSync {
  closeSync(openSync(path, 'a', 0o600))
  try {
    return prepare(path, schema, durability, 'NORMAL')
  } catch (error) {
    if (!isRefusal(error)) throw error
    publish('cistern:fault', { where: 'metadata', kind: 'internal', message: 'the disk takes no writes', error })
    return prepare(path, schema, durability, 'EXCLUSIVE')
  }
}

function prepare(
  path: string,
  schema: readonly string[],
  durability: Durability,
  locking: 'NORMAL' | 'EXCLUSIVE',
): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: 1000 })
  try {
    database.exec(`PRAGMA locking_mode = ${locking}`)
    const { user_version: version } = database.prepare('PRAGMA user_version').get() as { user_version: number }
    if (version > schemaVersion) {
      throw new Error(`${path} was written by a newer version of Cistern (${version}, this one reads ${schemaVersion})`)
    }
    database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${durability}`)
    for (const statement of schema) database.exec(statement)
    if (version < schemaVersion) database.exec(`PRAGMA user_version = ${schemaVersion}`)
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

/** Reads all of it. Throws where it is corrupt. */
export function assertSound(database: DatabaseSync): void {
  const { quick_check: verdict } = database.prepare('PRAGMA quick_check(1)').get() as { quick_check: string }
  if (verdict !== 'ok') throw Object.assign(new Error(verdict), { errcode: 11 })
}

/** The file is not what it should be: SQLITE_CORRUPT or SQLITE_NOTADB. */
export const isCorruption = (error: unknown): boolean => hasCode(error, 11, 26)

/** The disk would not take a write: SQLITE_BUSY, SQLITE_READONLY, SQLITE_IOERR, SQLITE_FULL or SQLITE_CANTOPEN. */
export const isRefusal = (error: unknown): boolean => hasCode(error, 5, 8, 10, 13, 14)

/** Extended codes have the primary one in their low byte: https://www.sqlite.org/rescode.html */
function hasCode(error: unknown, ...codes: number[]): boolean {
  const { errcode } = error as { errcode?: number }
  return errcode !== undefined && codes.includes(errcode & 0xff)
}
