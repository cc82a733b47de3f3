import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe } from 'vitest'

/** A directory that holds, or is, a file system in memory of its own size. */
export class Volume implements Disposable {
  readonly path: string
  readonly #mounted: string

  /**
   * `size` as mount takes it, such as `64m`; `below` is the part of the directory that it is to be. Throws where
   * mounting is not permitted.
   */
  constructor(size: string, below = '.') {
    this.path = mkdtempSync(join(tmpdir(), 'cistern-volume-'))
    this.#mounted = join(this.path, below)
    mkdirSync(this.#mounted, { recursive: true })
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=0700`, 'tmpfs', this.#mounted], { stdio: 'pipe' })
    } catch (error) {
      rmSync(this.path, { recursive: true })
      throw error
    }
  }

  /** No file may be open for writing then. */
  remount(how: 'ro' | 'rw'): void {
    execFileSync('mount', ['-o', `remount,${how}`, this.#mounted], { stdio: 'pipe' })
  }

  [Symbol.dispose](): void {
    execFileSync('umount', ['--lazy', this.#mounted], { stdio: 'pipe' })
    rmSync(this.path, { recursive: true })
  }
}

/** `describe` for suites that mount volumes. Where that is not permitted the suite is skipped, and its name says why. */
export function withVolumes(name: string, suite: () => void): void {
  if (process.env.CI === 'true' || mayMount()) describe(name, suite)
  else describe.skip(`${name} (mounting is not permitted)`, suite)
}

function mayMount(): boolean {
  try {
    using _ = new Volume('1m')
    return true
  } catch {
    return false
  }
}
