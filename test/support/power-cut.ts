import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import type { FileSystem } from '../../src/blobs/file-system.ts'
import { type Operation, watched } from './fault-file-system.ts'

/** What becomes of bytes that were written and not synced: all there, none, or some of them with nonsense behind. */
export type Data = 'kept' | 'dropped' | 'torn'

/** What becomes of a change of names that was not synced: whether the change number `n` is there. */
export type Names = (n: number) => boolean

type File = { written: Write[]; synced: number }
type Write = { position: number; bytes: Buffer }
type Change = { directory: string; name: string; file: File | undefined; synced: boolean }

/**
 * A disk with a cache in front of it, below one directory. It records what is done to it, and tells what a power cut
 * after any number of operations leaves: what was synced, and of the rest whatever pleases it.
 */
export class VolatileDisk {
  readonly fileSystem: FileSystem
  readonly #root: string
  readonly #operations: Operation[] = []

  constructor(root: string) {
    this.#root = root
    this.fileSystem = watched({ after: (operation) => this.#record(operation) })
  }

  /** How many operations there were so far that a power cut could come between. */
  get count(): number {
    return this.#operations.length
  }

  /** Makes `target` what is found after a power cut that followed the first `count` operations. */
  async cut(count: number, data: Data, names: Names, target: string): Promise<void> {
    const { directories, changes } = this.#replay(count)
    for (const directory of directories) await mkdir(join(target, directory), { recursive: true })
    const found = new Map<string, File>()
    for (const [n, { directory, name, file, synced }] of changes.entries()) {
      if (!synced && !names(n)) continue
      const path = join(directory, name)
      if (file) found.set(path, file)
      else found.delete(path)
    }
    for (const [path, file] of found) {
      await mkdir(dirname(join(target, path)), { recursive: true })
      await writeFile(join(target, path), contentOf(file, data))
    }
  }

  #record(operation: Operation): void {
    const changing = ['create', 'write', 'sync', 'sync-directory', 'rename', 'unlink', 'remove', 'mkdir']
    if (!changing.includes(operation.kind)) return
    const { bytes } = operation
    this.#operations.push({ ...operation, ...(bytes && { bytes: Buffer.from(bytes) }) })
  }

  /** Directories are taken to be there once they were made: an empty one is worth nothing, and costs nothing. */
  #replay(count: number): { directories: string[]; changes: Change[] } {
    const files = new Map<string, File>()
    const changes: Change[] = []
    const directories: string[] = []
    const change = (path: string, file: File | undefined) => {
      const name = relative(dirname(path), path)
      changes.push({ directory: this.#relative(dirname(path)), name, file, synced: false })
      if (file) files.set(path, file)
      else files.delete(path)
    }
    for (const { kind, path, to = '', bytes, position = 0 } of this.#operations.slice(0, count)) {
      const file = files.get(path)
      if (kind === 'mkdir') directories.push(this.#relative(path))
      if (kind === 'create') change(path, { written: [], synced: 0 })
      if (kind === 'write') file?.written.push({ position, bytes: Buffer.from(bytes ?? []) })
      if (kind === 'sync' && file) file.synced = file.written.length
      if (kind === 'rename') change(to, file)
      if (kind === 'rename' || kind === 'unlink' || kind === 'remove') change(path, undefined)
      if (kind === 'sync-directory') {
        for (const made of changes) if (made.directory === this.#relative(path)) made.synced = true
      }
    }
    return { directories, changes }
  }

  #relative(path: string): string {
    return relative(this.#root, path)
  }
}

function contentOf({ written, synced }: File, data: Data): Buffer {
  const size = (writes: Write[]) => Math.max(0, ...writes.map(({ position, bytes }) => position + bytes.length))
  const kept = data === 'kept' ? written : written.slice(0, synced)
  const content = Buffer.alloc(size(data === 'torn' ? written : kept))
  for (const { position, bytes } of kept) bytes.copy(content, position)
  if (data !== 'torn') return content
  for (const { position, bytes } of written.slice(synced)) bytes.subarray(0, bytes.length / 2).copy(content, position)
  return content
}
