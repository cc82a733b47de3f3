import { readFile, stat } from 'node:fs/promises'
import { unavailable } from '../oci/errors.ts'

/** The value in a file, read again when the file has changed. `parse` throws what it finds wrong, without quoting it. */
export class FileValue<T> {
  readonly #path: string
  readonly #parse: (text: string) => T
  #kept: { version: string; value: T } | undefined

  constructor(path: string, parse: (text: string) => T) {
    this.#path = path
    this.#parse = parse
  }

  /** Throws `unavailable` where the file cannot be read. */
  async get(): Promise<T> {
    try {
      const { ino, size, mtimeMs } = await stat(this.#path)
      const version = `${ino} ${size} ${mtimeMs}`
      if (this.#kept?.version !== version) {
        this.#kept = { version, value: this.#parse(await readFile(this.#path, 'utf8')) }
      }
      return this.#kept.value
    } catch (cause) {
      throw unavailable('a credential file cannot be read', { cause })
    }
  }

  forget(): void {
    this.#kept = undefined
  }
}
