import { open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

/** A small file that only its owner may read: never half written, and as durable as the disk once `write` resolves. */
export class KeyFile {
  readonly path: string

  constructor(path: string) {
    this.path = path
  }

  /** Resolves to `undefined` where there is no file. Throws what the system throws. */
  async read(): Promise<Buffer | undefined> {
    try {
      return await readFile(this.path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }

  /** One call at a time. Throws what the system throws, and leaves the file as it was. */
  async write(content: string | Uint8Array): Promise<void> {
    const next = `${this.path}.new`
    await rm(next, { force: true }) // of a writer that was killed: its mode would be kept
    try {
      await using file = await open(next, 'wx', 0o600)
      await file.writeFile(content)
      await file.sync()
      await rename(next, this.path)
    } catch (error) {
      await rm(next, { force: true })
      throw error
    }
    await using directory = await open(dirname(this.path), 'r')
    await directory.sync()
  }
}
