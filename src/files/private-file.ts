import { link, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

export type PrivateFileOptions = {
  /** Whether what the file held before the last write stays beside it. */
  keepsPrevious?: boolean
}

/** A small file that only its owner may read: never half written, and as durable as the disk once `write` resolves. */
export class PrivateFile {
  readonly path: string
  readonly #keepsPrevious: boolean

  constructor(path: string, { keepsPrevious = false }: PrivateFileOptions = {}) {
    this.path = path
    this.#keepsPrevious = keepsPrevious
  }

  get previousPath(): string {
    return `${this.path}.previous`
  }

  /** Resolves to `undefined` where there is no file. Throws what the system throws. */
  read(): Promise<Buffer | undefined> {
    return unlessMissing(readFile(this.path))
  }

  /** What the file held before the last write. Resolves to `undefined` where there is none. */
  readPrevious(): Promise<Buffer | undefined> {
    return unlessMissing(readFile(this.previousPath))
  }

  /** One call at a time. Throws what the system throws, and leaves the file as it was. */
  async write(content: string | Uint8Array): Promise<void> {
    const next = `${this.path}.new`
    await rm(next, { force: true }) // of a writer that was killed: its mode would be kept
    try {
      await using file = await open(next, 'wx', 0o600)
      await file.writeFile(content)
      await file.sync()
      if (this.#keepsPrevious) await this.#setAside()
      await rename(next, this.path)
    } catch (error) {
      await rm(next, { force: true })
      throw error
    }
    await using directory = await open(dirname(this.path), 'r')
    await directory.sync()
  }

  async #setAside(): Promise<void> {
    await rm(this.previousPath, { force: true })
    await unlessMissing(link(this.path, this.previousPath))
  }
}

/** Resolves to `undefined` where there is no such file, or no directory that could hold it. */
export async function unlessMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
}
