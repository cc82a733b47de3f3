import { basename, join } from 'node:path'
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts'
import { publish } from '../telemetry/events.ts'
import { type FileSystem, isCode } from './file-system.ts'

/** What is kept for somebody to look at; beyond either, what was put aside first goes. */
const keptEntries = 32
const keptBytes = 256 * 1024 * 1024

/**
 * Where damaged files go: out of the way, and not at once lost to who wants to know what happened to them. Bounded, so
 * that a failing disk does not fill itself.
 */
export class Quarantine {
  readonly #directory: string
  readonly #files: FileSystem
  #turn: Promise<unknown> = Promise.resolve()

  /** The directory is made when it is needed. */
  constructor(directory: string, files: FileSystem) {
    this.#directory = directory
    this.#files = files
  }

  /** Moves what is at `path`, whatever it is, and resolves to whether there was something. */
  take(path: string, digest: Digest): Promise<boolean> {
    const taken = this.#turn.then(() => this.#take(path, `${algorithmOf(digest)}-${hexOf(digest)}`))
    this.#turn = taken.catch(() => {})
    return taken
  }

  async #take(path: string, name: string): Promise<boolean> {
    await this.#files.mkdir(this.#directory, { recursive: true })
    const names = new Set(await this.#files.readdir(this.#directory))
    let n = 1
    while (names.has(`${name}-${n}`)) n++
    const target = join(this.#directory, `${name}-${n}`)
    try {
      await this.#files.rename(path, target)
    } catch (error) {
      if (isCode(error, 'ENOENT', 'ENOTDIR')) return false
      throw error
    }
    await this.#prune(basename(target), names).catch((error: unknown) => {
      publish('cistern:fault', { where: 'blobs', kind: 'internal', message: 'the quarantine was not pruned', error })
    })
    return true
  }

  async #prune(latest: string, earlier: ReadonlySet<string>): Promise<void> {
    const entries = await Promise.all([...earlier].map((name) => this.#entry(name)))
    entries.sort((a, b) => b.movedAt - a.movedAt)
    let bytes = 0
    for (const [index, { path, size }] of [await this.#entry(latest), ...entries].entries()) {
      bytes += size
      if (index >= keptEntries || bytes > keptBytes) await this.#files.rm(path, { recursive: true, force: true })
    }
  }

  /** A rename is a change of the file: it is the time of the last one. */
  async #entry(name: string): Promise<{ path: string; size: number; movedAt: number }> {
    const path = join(this.#directory, name)
    const { size, ctimeMs } = await this.#files.lstat(path)
    return { path, size, movedAt: ctimeMs }
  }
}
