import { once } from 'node:events'
import { type Extract, extract } from 'tar-stream'
import { RegistryError } from '../oci/errors.ts'
import { decompressed } from './compression.ts'
import { digestAt } from './layout.ts'
import { invalid } from './request.ts'

/** A file of an archive. What is not read of its content before the next one is passed over. */
export type BundleEntry = { path: string; size: number; content: AsyncIterable<Uint8Array> }

/** What came is no archive, or not the whole of one. */
export class BrokenArchive extends Error {
  override readonly name = 'BrokenArchive'
}

/** More than any bundle has. Each costs memory. */
const maxEntries = 1_000_000
const maxPath = 1024

/**
 * The plain files of an archive, compressed or not, as they come. Nothing is ever written where a path leads; whatever
 * would have it do so, or would have one file stand for another, is refused all the same. Throws `invalid` for that, and
 * `BrokenArchive`; so does the content of an entry.
 */
export async function* entriesOf(source: AsyncIterable<Uint8Array>): AsyncIterable<BundleEntry> {
  const archive = extract()
  const feeding = feed(archive, decompressed(source)).catch((error: Error) => archive.destroy(error))
  const seen = new Set<string>()
  try {
    for await (const entry of archive) {
      const { type, size, name } = entry.header
      const path = name.replace(/^(?:\.\/)+/, '')
      if (type !== 'directory') {
        assertPlain(name, path, type)
        if (seen.has(path)) throw invalid(`${path} stands in it twice`)
        if (seen.add(path).size > maxEntries) throw invalid(`more than ${maxEntries} files stand in it`)
        yield { path, size, content: contentOf(entry) }
      }
      entry.resume()
    }
    await feeding
  } catch (error) {
    throw asBroken(error)
  } finally {
    archive.destroy() // which ends the feeding with the next chunk; nobody waits for that
  }
}

async function* contentOf(entry: AsyncIterable<unknown>): AsyncIterable<Uint8Array> {
  try {
    yield* entry as AsyncIterable<Uint8Array>
  } catch (error) {
    throw asBroken(error)
  }
}

const asBroken = (error: unknown): Error =>
  error instanceof RegistryError || error instanceof BrokenArchive
    ? error
    : new BrokenArchive(`it cannot be read to its end: ${(error as Error).message}`, { cause: error })

async function feed(archive: Extract, source: AsyncIterable<Uint8Array>): Promise<void> {
  const over = once(archive, 'close')
  over.catch(() => {}) // told by whoever reads the entries
  for await (const chunk of source) {
    if (!archive.write(chunk)) await Promise.race([once(archive, 'drain'), over])
    if (archive.destroyed) return
  }
  archive.end(null)
  await over
}

function assertPlain(name: string, path: string, type: string | null): void {
  if (path.length > maxPath) throw invalid(`${printable(name)} and so on is too long a name in it`)
  if (path.startsWith('/') || path.split('/').includes('..')) throw invalid(`${printable(name)} leads out of it`)
  if (type !== 'file') throw invalid(`${printable(name)} is no plain file in it`)
  if (path.startsWith('blobs/') && !digestAt(path)) throw invalid(`${printable(name)} is named by no digest`)
}

const printable = (name: string) => JSON.stringify(name.slice(0, 200))
