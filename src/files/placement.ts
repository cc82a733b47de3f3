import { chmod, mkdir, rmdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { ancestorsOf, assertWithin } from './below-root.ts'
import { emptyRecord, type PlacedFile, type PlacementRecord, PlacementRecords } from './placement-record.ts'
import { unlessMissing } from './private-file.ts'
import { giveBack, hashOf, keptName, readRegular, replace, sha256 } from './replacement.ts'

/** A file that others read. */
export type FileToPlace = {
  /** Absolute, below the root. */
  readonly path: string
  /** What it is to hold in the place of `present`. Throws where it can hold nothing beside that. */
  readonly content: (present: string | undefined) => string
  readonly isSecret?: true
}

export type PlacementOptions = {
  /** Under which it is recorded. */
  name: string
  /** What paths are below; the whole machine by default. */
  root?: string
  /** Where records are. A path below the root. */
  records: string
}

/** Files by their paths. `kept` are those that give way and stay beside the new ones. */
export type Placed = { wrote: string[]; kept: string[]; gaveBack: string[] }

/** Files by their paths: those that are what they were again, and those that are no more. */
export type Undone = { gaveBack: string[]; removed: string[] }

/** Files were changed by others since they were put in place. */
export class ChangedSince extends Error {
  override readonly name = 'ChangedSince'

  constructor(paths: readonly string[]) {
    super(`changed by others since: ${paths.join(', ')}`)
  }
}

/**
 * Files in the places of others: put there whole or not at all, and given back to the byte. What is about to be done is
 * recorded first, so that whatever a killed process left can be taken back. One call at a time.
 */
export class Placement {
  readonly #name: string
  readonly #root: string
  readonly #recordsPath: string
  readonly #records: PlacementRecords

  constructor({ name, root = '/', records }: PlacementOptions) {
    this.#name = name
    this.#root = root
    this.#recordsPath = records
    this.#records = new PlacementRecords(join(root, records))
  }

  /**
   * Puts `files` in place, and gives back what an earlier call put elsewhere. A call that changes nothing leaves all as
   * it is. Throws `ChangedSince`, where something is no file or stands outside of the root, where its content cannot be
   * made, and what the system throws; a first call has changed nothing then.
   */
  async write(files: readonly FileToPlace[]): Promise<Placed> {
    const before = (await this.#records.read(this.#name)) ?? emptyRecord
    await this.#assertUnchanged(before)
    const planned = (await Promise.all(files.map((file) => this.#plan(file, before)))).filter(
      (plan) => plan !== undefined,
    )
    const dropped = before.files.filter(({ path }) => !planned.some((plan) => plan.entry.path === path))
    const changes = planned.filter(({ isThere }) => !isThere)
    const placed: Placed = {
      wrote: changes.map(({ entry }) => entry.path),
      kept: changes.filter(({ entry }) => entry.former !== undefined).map(({ entry }) => entry.path),
      gaveBack: dropped.map(({ path }) => path),
    }
    if (changes.length === 0 && dropped.length === 0) return placed
    const entries = planned.map(({ entry }) => entry)
    const needed = directoriesOf(entries)
    const own = ancestorsOf(join(this.#recordsPath, this.#name))
    const missing = await this.#missing([...own, ...needed])
    const directories = [...new Set([...before.directories, ...missing])].sort()
    const record = { files: bothOf(entries, before.files), directories }
    try {
      await this.#makeDirectories(own)
      await this.#records.write(this.#name, record)
      await this.#makeDirectories(needed)
      for (const { entry, content, isSecret } of changes) {
        await replace(this.#at(entry.path), content, { keeps: entry.former !== undefined, isSecret })
      }
      for (const { path, former } of dropped) await giveBack(this.#at(path), former)
      await this.#removeEmpty(directories.filter((directory) => !needed.includes(directory)))
      await this.#records.write(this.#name, { files: entries, directories })
    } catch (error) {
      throw await this.#undone(error as Error, before === emptyRecord ? record : undefined)
    }
    return placed
  }

  /**
   * Takes everything back, and the directories that were made for it where nothing else is in them. Throws
   * `ChangedSince`, and does nothing then, unless it is done `anyway`. Again it does nothing.
   */
  async undo({ anyway = false } = {}): Promise<Undone> {
    const record = await this.#records.read(this.#name)
    if (!record) return { gaveBack: [], removed: [] }
    for (const { path } of record.files) await assertWithin(this.#root, path)
    if (!anyway) await this.#assertUnchanged(record)
    await this.#takeBack(record)
    const paths = (files: readonly PlacedFile[]) => files.map(({ path }) => path)
    return {
      gaveBack: paths(record.files.filter(({ former }) => former !== undefined)),
      removed: paths(record.files.filter(({ former }) => former === undefined)),
    }
  }

  #at(path: string): string {
    return join(this.#root, path)
  }

  async #plan({ path, content, isSecret = undefined }: FileToPlace, before: PlacementRecord) {
    await assertWithin(this.#root, path)
    const known = before.files.find((file) => file.path === path)
    const present = await readRegular(this.#at(path))
    const former = known ? await this.#formerOf(known) : present
    if (!known && (await readRegular(keptName(this.#at(path))))) {
      throw new Error(`${keptName(path)} is in the way: it was kept for somebody else`)
    }
    const text = contentIn(path, content, former)
    const hash = sha256(text)
    if (former && sha256(former) === hash) return undefined
    const entry: PlacedFile = { path, written: [hash], ...(former && { former: sha256(former) }) }
    return {
      entry,
      content: text,
      isSecret: isSecret ?? false,
      isThere: present !== undefined && sha256(present) === hash,
    }
  }

  async #formerOf({ path, former }: PlacedFile): Promise<Buffer | undefined> {
    if (former === undefined) return undefined
    return (await readRegular(keptName(this.#at(path)))) ?? (await readRegular(this.#at(path)))
  }

  /** Throws, with all their names, where files are neither as they were before nor as they were written. */
  async #assertUnchanged({ files }: PlacementRecord): Promise<void> {
    const changed: string[] = []
    for (const { path, written, former } of files) {
      const file = this.#at(path)
      const [now, kept] = await Promise.all([file, keptName(file)].map((name) => hashOf(name).catch(() => 'no file')))
      const isUntouched = now === former && (kept === undefined || kept === former)
      const isWritten = now !== undefined && written.includes(now) && kept === former
      if (!isUntouched && !isWritten) changed.push(path)
    }
    if (changed.length > 0) throw new ChangedSince(changed)
  }

  async #missing(directories: readonly string[]): Promise<string[]> {
    const all = directories.map(async (path) => ((await unlessMissing(stat(this.#at(path)))) ? [] : [path]))
    return (await Promise.all(all)).flat()
  }

  async #makeDirectories(directories: readonly string[]): Promise<void> {
    for (const directory of directories) {
      const isNew = await mkdir(this.#at(directory)).then(() => true, falseIfExists)
      if (isNew) await chmod(this.#at(directory), directory === this.#recordsPath ? 0o700 : 0o755)
    }
  }

  /** What to throw for what went wrong; what a first call had begun by then is taken back. */
  async #undone(error: Error, first: PlacementRecord | undefined): Promise<Error> {
    const halfway = new Error(`${error.message}; what is in place already can be taken back`, { cause: error })
    if (!first) return halfway
    try {
      await this.#takeBack(first)
      return new Error(`${error.message}; all is as it was`, { cause: error })
    } catch {
      return halfway
    }
  }

  async #takeBack({ files, directories }: PlacementRecord): Promise<void> {
    for (const { path, former } of files) await giveBack(this.#at(path), former)
    await this.#removeEmpty(directories)
    await this.#records.remove(this.#name)
    const left = await this.#removeEmpty(directories)
    const [heir] = left.length > 0 ? await this.#records.names() : []
    const record = heir === undefined ? undefined : await this.#records.read(heir)
    if (heir === undefined || !record) return
    await this.#records.write(heir, { ...record, directories: [...new Set([...left, ...record.directories])] })
  }

  /** Resolves to those that hold something, outermost first. */
  async #removeEmpty(directories: readonly string[]): Promise<string[]> {
    const left: string[] = []
    for (const directory of directories.toReversed()) {
      const code = await rmdir(this.#at(directory)).then(
        () => undefined,
        (error: NodeJS.ErrnoException) => error.code,
      )
      if (code !== undefined && code !== 'ENOENT') left.unshift(directory)
    }
    return left
  }
}

function falseIfExists(error: NodeJS.ErrnoException): false {
  if (error.code === 'EEXIST') return false
  throw error
}

function contentIn(path: string, content: FileToPlace['content'], former: Buffer | undefined): string {
  try {
    return content(former && new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(former))
  } catch (error) {
    const message = error instanceof TypeError ? 'is not UTF-8' : (error as Error).message
    throw new Error(`${path} ${message}; nothing was written`, { cause: error })
  }
}

/** The files of both, each with all that it may hold by either. */
function bothOf(next: readonly PlacedFile[], before: readonly PlacedFile[]): PlacedFile[] {
  const withOlder = next.map((file) => {
    const older = before.find(({ path }) => path === file.path)?.written ?? []
    return { ...file, written: [...new Set([...file.written, ...older])] }
  })
  return [...withOlder, ...before.filter(({ path }) => !next.some((file) => file.path === path))]
}

const directoriesOf = (files: readonly PlacedFile[]): string[] => [
  ...new Set(files.flatMap(({ path }) => ancestorsOf(path))),
]
