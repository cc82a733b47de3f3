import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A directory for the files that a configuration names. It goes with them. */
export class Scratch implements AsyncDisposable {
  readonly #directory: AsyncDisposable & { path: string }

  private constructor(directory: AsyncDisposable & { path: string }) {
    this.#directory = directory
  }

  static async start(): Promise<Scratch> {
    return new Scratch(await mkdtempDisposable(join(tmpdir(), 'cistern-scratch-')))
  }

  get directory(): string {
    return this.#directory.path
  }

  /** Resolves to the path. */
  async write(name: string, content: string): Promise<string> {
    const path = join(this.#directory.path, name)
    await writeFile(path, content)
    return path
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#directory[Symbol.asyncDispose]()
  }
}
