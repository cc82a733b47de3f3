import { lstat, readdir, readFile, readlink } from 'node:fs/promises'
import { join, relative } from 'node:path'

export type Entry = { mode: number; uid: number; gid: number; content?: string; modifiedAt?: number }

/** All that is below a directory, by path: modes, owners, contents, and when files were changed. In lexical order. */
export async function treeOf(directory: string): Promise<Record<string, Entry>> {
  const paths = (await pathsBelow(directory)).sort()
  const entries = paths.map(async (path) => [relative(directory, path), await entryOf(path)] as const)
  return Object.fromEntries(await Promise.all(entries))
}

/** Links are not followed. */
async function pathsBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true })
  const all = entries.map(async (entry) => {
    const path = join(directory, entry.name)
    return entry.isDirectory() ? [path, ...(await pathsBelow(path))] : [path]
  })
  return (await Promise.all(all)).flat()
}

async function entryOf(path: string): Promise<Entry> {
  const stats = await lstat(path)
  const common = { mode: stats.mode & 0o7777, uid: stats.uid, gid: stats.gid }
  if (stats.isDirectory()) return common
  const content = stats.isSymbolicLink() ? `-> ${await readlink(path)}` : await readFile(path, 'latin1')
  return { ...common, content, modifiedAt: stats.mtimeMs }
}
