import { chmod, mkdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { App } from '../app.ts'
import { serveAt } from '../listen.ts'
import type { ServeOptions } from '../server.ts'

/** In bytes. Systems differ, and 103 is the least: https://man7.org/linux/man-pages/man7/unix.7.html */
const maxPathLength = 100

/** More than there are commands at a time. */
const maxConnections = 64

/**
 * Serves `app` on a UNIX socket to which only our own user can connect. It comes into being where nobody else can reach
 * it and is moved to `path` once its mode is right, over what a dead process left there; the caller makes sure that no
 * live one has it. Throws where the path is too long, and what the system throws.
 */
export async function listenOnSocket(app: App, path: string, options: ServeOptions = {}): Promise<AsyncDisposable> {
  if (Buffer.byteLength(path) > maxPathLength) {
    throw new Error(`${path} is too long for a socket, which takes ${maxPathLength} bytes`)
  }
  const nursery = join(dirname(path), '.sock')
  await rm(nursery, { recursive: true, force: true })
  await mkdir(nursery, { mode: 0o700 })
  try {
    const unnamed = join(nursery, 's')
    const { close } = await serveAt({ path: unnamed }, app, {
      maxConnections,
      announce: false,
      requestTimeoutMs: 0, // bundles are as long as they are
      ...options,
    })
    try {
      await chmod(unnamed, 0o600)
      await rename(unnamed, path)
    } catch (error) {
      await close(0)
      throw error
    }
    return {
      async [Symbol.asyncDispose]() {
        await rm(path, { force: true })
        await close(0)
      },
    }
  } finally {
    await rm(nursery, { recursive: true, force: true })
  }
}
