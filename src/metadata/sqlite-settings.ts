import { publish } from '../telemetry/events.ts'
import type { Collection } from './metadata.ts'
import type { RegistrySettings, RepositorySettings, RepositoryTemplate, SettingsStore } from './settings.ts'
import { SqliteCollection } from './sqlite-collection.ts'
import { SqliteFile } from './sqlite-file.ts'

const tables = ['repositories', 'templates', 'registry'] as const

export type SqliteSettingsOptions = {
  clock?: () => number
  /** How often the file is copied, if it changed. */
  backupIntervalMs?: number
}

/** One table per collection, values as JSON, in a file of its own: settings change seldom, and must not be lost. */
export class SqliteSettings implements SettingsStore {
  readonly repositories: Collection<RepositorySettings>
  readonly templates: Collection<RepositoryTemplate>
  readonly registry: Collection<RegistrySettings>
  readonly #file: SqliteFile
  readonly #backups: NodeJS.Timeout

  /**
   * Throws where the file is corrupt and no backup can take its place, where a newer version wrote it, and what the file
   * system throws.
   */
  static open(path: string, options: SqliteSettingsOptions = {}): SqliteSettings {
    const { clock = Date.now, backupIntervalMs = 10_000 } = options
    return new SqliteSettings(new SqliteFile(path, tables, { clock, expendable: false }), backupIntervalMs)
  }

  private constructor(file: SqliteFile, backupIntervalMs: number) {
    this.#file = file
    this.#backups = setInterval(() => void this.#backUp(), backupIntervalMs).unref()
    this.repositories = new SqliteCollection(file, 'repositories')
    this.templates = new SqliteCollection(file, 'templates')
    this.registry = new SqliteCollection(file, 'registry')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#backups)
    await this.#backUp()
    this.#file.close()
  }

  async #backUp(): Promise<void> {
    try {
      await this.#file.backup()
    } catch (error) {
      const message = 'no backup of the settings could be made'
      publish('cistern:fault', { where: 'metadata', kind: 'internal', message, error })
    }
  }
}
