import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { entriesOf } from '../bundle-reader.ts'
import { invalid } from '../request.ts'

/** The files of a chart that say which images it has, by their paths within it. */
export type ChartFiles = ReadonlyMap<string, Uint8Array>

/** In bytes, of a file and of all. */
const maxFile = 16 * 1024 * 1024
const maxAll = 64 * 1024 * 1024

/** Charts within charts. */
const maxDepth = 8

const isMeant = (path: string): boolean =>
  /^(?:charts\/[^/]+\/){0,8}(?:Chart\.yaml|values\.yaml|charts\/[^/]+\.tgz)$/.test(path)

/** Of a chart that is a directory. Throws what the file system throws. */
export async function filesInDirectory(directory: string): Promise<ChartFiles> {
  const files = new Map<string, Uint8Array>()
  await addDirectory(directory, '', files, maxDepth)
  return files
}

async function addDirectory(directory: string, prefix: string, files: Map<string, Uint8Array>, depth: number) {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const [path, place] = [`${prefix}${entry.name}`, join(directory, entry.name)]
    if (entry.isDirectory() && depth > 0 && (entry.name === 'charts' || prefix.endsWith('charts/'))) {
      await addDirectory(place, `${path}/`, files, depth - 1)
    } else if (isMeant(path)) add(path, await readFile(place), files)
  }
}

/** Of a chart that was packed. Throws `invalid`, and what `entriesOf` throws. */
export async function filesInArchive(source: AsyncIterable<Uint8Array>): Promise<ChartFiles> {
  const files = new Map<string, Uint8Array>()
  for await (const { path, size, content } of entriesOf(source)) {
    const inside = path.slice(path.indexOf('/') + 1)
    if (!isMeant(inside)) continue
    if (size > maxFile) throw tooLarge(inside)
    add(inside, Buffer.concat(await Array.fromAsync(content)), files)
  }
  return files
}

function add(path: string, bytes: Uint8Array, files: Map<string, Uint8Array>): void {
  files.set(path, bytes)
  const all = [...files.values()].reduce((sum, { length }) => sum + length, 0)
  if (bytes.length > maxFile || all > maxAll) throw tooLarge(path)
}

const tooLarge = (path: string) => invalid(`${path} is larger than anything that a chart has`)
