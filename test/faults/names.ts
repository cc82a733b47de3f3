import { renameSync, writeFileSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** All the names that a Cistern under test can look up. They may change while it runs. */
export class Names implements AsyncDisposable {
  readonly #directory: AsyncDisposable & { path: string }
  readonly #table = new Map<string, string[]>()

  private constructor(directory: AsyncDisposable & { path: string }) {
    this.#directory = directory
    this.#save()
  }

  static async start(): Promise<Names> {
    return new Names(await mkdtempDisposable(join(tmpdir(), 'cistern-names-')))
  }

  /** For the process that is to know these names and no others. */
  get env(): NodeJS.ProcessEnv {
    return { NODE_OPTIONS: `--import=${import.meta.resolve('./names-preload.ts')}`, TEST_NAMES: this.#file }
  }

  add(name: string, ...addresses: string[]): void {
    this.#table.set(name, addresses)
    this.#save()
  }

  remove(name: string): void {
    this.#table.delete(name)
    this.#save()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#directory[Symbol.asyncDispose]()
  }

  get #file(): string {
    return join(this.#directory.path, 'names.json')
  }

  /** At once: a half-written table would be a fault that no test asked for. */
  #save(): void {
    writeFileSync(`${this.#file}.new`, JSON.stringify(Object.fromEntries(this.#table)))
    renameSync(`${this.#file}.new`, this.#file)
  }
}
