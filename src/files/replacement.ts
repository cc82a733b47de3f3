import { createHash } from 'node:crypto'
import { type FileHandle, link, lstat, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { unlessMissing } from './private-file.ts'

/** What stood in a file's place stands beside it under this name. */
export const keptName = (file: string): string => `${file}.before-cistern`

const draftName = (file: string): string => `${file}.cistern-new`

export const sha256 = (bytes: string | Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** The SHA-256 of a file. Resolves to `undefined` where nothing is. Throws as `readRegular` does. */
export async function hashOf(file: string): Promise<string | undefined> {
  const bytes = await readRegular(file)
  return bytes && sha256(bytes)
}

/** Resolves to `undefined` where nothing is. Throws for what is no regular file, and what the system throws. */
export async function readRegular(file: string): Promise<Buffer | undefined> {
  const stats = await unlessMissing(lstat(file))
  if (!stats) return undefined
  if (stats.isSymbolicLink()) throw new Error(`${file} is a symbolic link, which is not followed`)
  if (!stats.isFile()) throw new Error(`${file} is no file`)
  return await readFile(file)
}

export type ReplaceOptions = {
  /** Whether what is there has to be kept, under its kept name. What stands there already is what was there first. */
  keeps: boolean
  /** Whether nobody else may read it. */
  isSecret: boolean
}

/** Puts `content` in the place of a file, at once and whole. The new file has the mode and the owner of the old. */
export async function replace(file: string, content: string, { keeps, isSecret }: ReplaceOptions): Promise<void> {
  const present = await unlessMissing(lstat(file))
  const draft = draftName(file)
  await rm(draft, { force: true })
  try {
    await using handle = await open(draft, 'wx', 0o600)
    await handle.writeFile(content)
    if (present) await takeOwner(handle, present)
    await handle.chmod(isSecret ? 0o600 : present ? present.mode & 0o7777 : 0o644)
    await handle.sync()
    if (keeps) await unlessExists(link(file, keptName(file)))
    await rename(draft, file)
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
  await syncDirectory(dirname(file))
}

/**
 * Puts back what stood in the place of a file, which had the hash `former`, or takes the file away where nothing did.
 * Throws where that is gone.
 */
export async function giveBack(file: string, former: string | undefined): Promise<void> {
  const kept = keptName(file)
  await rm(draftName(file), { force: true })
  if (former === undefined) await rm(file, { force: true })
  else if (await isSame(file, kept)) await rm(kept)
  else if (await unlessMissing(lstat(kept))) await rename(kept, file)
  else if ((await hashOf(file)) !== former) throw new Error(`${kept} is gone`)
  await unlessMissing(syncDirectory(dirname(file)))
}

/** A rename of one of two names for the same file does nothing. */
async function isSame(one: string, other: string): Promise<boolean> {
  const [a, b] = [await unlessMissing(lstat(one)), await unlessMissing(lstat(other))]
  return a !== undefined && b !== undefined && a.ino === b.ino && a.dev === b.dev
}

async function takeOwner(handle: FileHandle, { uid, gid }: { uid: number; gid: number }): Promise<void> {
  const own = await handle.stat()
  if (own.uid !== uid || own.gid !== gid) await handle.chown(uid, gid)
}

async function unlessExists(work: Promise<void>): Promise<void> {
  await work.catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
}

async function syncDirectory(directory: string): Promise<void> {
  await using handle = await open(directory, 'r')
  await handle.sync()
}
