import type { Stats } from 'node:fs'
import { type FileSystem, nodeFileSystem, type OpenFile } from '../../src/blobs/file-system.ts'

/** What is done to a file or a directory. Making a file is `create`; to sync a directory is `sync-directory`. */
export type OperationKind =
  | 'create'
  | 'open'
  | 'read'
  | 'write'
  | 'sync'
  | 'sync-directory'
  | 'rename'
  | 'unlink'
  | 'remove'
  | 'mkdir'
  | 'lstat'
  | 'fstat'
  | 'readdir'
  | 'touch'

export type Operation = {
  kind: OperationKind
  path: string
  /** Where a rename leads. */
  to?: string
  /** The bytes that a write or a read is about, and where they stand in the file. */
  bytes?: Uint8Array
  position?: number
}

export type Hooks = {
  /** What it throws is thrown in place of the operation. */
  before?: (operation: Operation) => void
  after?: (operation: Operation) => void
}

/** The file system of Node with hooks around each operation. */
export function watched(hooks: Hooks, files: FileSystem = nodeFileSystem): FileSystem {
  async function step<T>(operation: Operation, work: () => Promise<T>): Promise<T> {
    hooks.before?.(operation)
    const result = await work()
    hooks.after?.(operation)
    return result
  }
  return {
    open: async (path, flags, mode) => {
      const kind = typeof flags === 'string' && flags.startsWith('w') ? 'create' : 'open'
      const file = await step({ kind, path }, () => files.open(path, flags, mode))
      return watchedFile(file, path, (await file.stat()).isDirectory(), step)
    },
    lstat: (path) => step({ kind: 'lstat', path }, () => files.lstat(path)),
    lutimes: (path, ...times) => step({ kind: 'touch', path }, () => files.lutimes(path, ...times)),
    mkdir: (path, options) => step({ kind: 'mkdir', path }, () => files.mkdir(path, options)),
    readdir: (path) => step({ kind: 'readdir', path }, () => files.readdir(path)),
    rename: (path, to) => step({ kind: 'rename', path, to }, () => files.rename(path, to)),
    rm: (path, options) => step({ kind: 'remove', path }, () => files.rm(path, options)),
    unlink: (path) => step({ kind: 'unlink', path }, () => files.unlink(path)),
  }
}

type Step = <T>(operation: Operation, work: () => Promise<T>) => Promise<T>

function watchedFile(file: OpenFile, path: string, isDirectory: boolean, step: Step): OpenFile {
  return {
    read: (target, offset, length, position) =>
      step({ kind: 'read', path, position }, () => file.read(target, offset, length, position)),
    write: (source, offset, length, position) => {
      const bytes = source.subarray(offset, offset + length)
      return step({ kind: 'write', path, bytes, position }, () => file.write(source, offset, length, position))
    },
    stat: (): Promise<Stats> => step({ kind: 'fstat', path }, () => file.stat()),
    sync: () => step({ kind: isDirectory ? 'sync-directory' : 'sync', path }, () => file.sync()),
    close: () => file.close(),
    [Symbol.asyncDispose]: () => file.close(),
  }
}

/** An error of the system, as Node throws it. */
export const systemError = (code: string): Error => Object.assign(new Error(`${code}: as the test wants it`), { code })

/** Operations that fail while they match. */
export class Failures {
  readonly #armed = new Set<{ matches: (operation: Operation) => boolean; code: string; left: number }>()
  readonly fileSystem: FileSystem = watched({ before: (operation) => this.#meet(operation) })

  /** From the next match on, so many times; disposing ends it. */
  fail(code: string, matches: (operation: Operation) => boolean, times = Number.POSITIVE_INFINITY): Disposable {
    const armed = { matches, code, left: times }
    this.#armed.add(armed)
    return { [Symbol.dispose]: () => this.#armed.delete(armed) }
  }

  #meet(operation: Operation): void {
    for (const armed of this.#armed) {
      if (armed.left === 0 || !armed.matches(operation)) continue
      armed.left--
      throw systemError(armed.code)
    }
  }
}
