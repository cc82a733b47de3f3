import { type FileHandle, open, rename, rm, writeFile } from 'node:fs/promises'
import type { Sink } from '../oci/registry.ts'

/** Where a bundle goes. It is there once it is kept, and then whole; disposing one that was not leaves nothing. */
export type BundleTarget = Sink & AsyncDisposable & { keep(): Promise<void> }

/** `-` is the standard output, which cannot be taken back. Throws what the file system throws. */
export async function openTarget(path: string): Promise<BundleTarget> {
  return path === '-' ? standardOutput() : BundleFile.open(path)
}

class BundleFile implements BundleTarget {
  readonly #path: string
  readonly #temporary: string
  readonly #file: FileHandle
  #kept = false

  private constructor(path: string, temporary: string, file: FileHandle) {
    this.#path = path
    this.#temporary = temporary
    this.#file = file
  }

  static async open(path: string): Promise<BundleFile> {
    const temporary = `${path}.${process.pid}.part`
    return new BundleFile(path, temporary, await open(temporary, 'wx', 0o644))
  }

  async write(chunk: Uint8Array): Promise<void> {
    for (let done = 0; done < chunk.length; ) {
      const { bytesWritten } = await this.#file.write(chunk, done)
      done += bytesWritten
    }
  }

  async keep(): Promise<void> {
    await this.#file.sync()
    await rename(this.#temporary, this.#path)
    this.#kept = true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close()
    if (!this.#kept) await rm(this.#temporary, { force: true })
  }
}

function standardOutput(): BundleTarget {
  // To leave a bundle half read is a failure, which the write tells that meets it.
  process.stdout.removeAllListeners('error').on('error', () => {})
  return {
    write: (chunk) =>
      new Promise((resolve, reject) => {
        process.stdout.write(chunk, (cause) => {
          if (cause) reject(new Error('the standard output was closed', { cause }))
          else resolve()
        })
      }),
    async keep() {},
    async [Symbol.asyncDispose]() {},
  }
}

/** Writes a small file whole or not at all. */
export async function writeWhole(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}.part`
  try {
    await writeFile(temporary, text, { flush: true })
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}
