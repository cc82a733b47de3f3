import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/** Another process has the data directory. */
export class DataDirInUse extends Error {
  override readonly name = 'DataDirInUse'
}

/**
 * Takes the data directory for this process: an exclusive transaction on a database of its own, which the kernel
 * releases however the process ends. Throws `DataDirInUse`. The caller disposes it last.
 */
export function lockDataDir(dataDir: string): Disposable {
  const path = join(dataDir, 'lock.sqlite')
  closeSync(openSync(path, 'a', 0o600))
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    const { errcode } = error as { errcode?: number }
    if (errcode === 5) throw new DataDirInUse(`${dataDir} is in use by another Cistern`, { cause: error })
    throw error
  }
  return { [Symbol.dispose]: () => database.close() }
}
