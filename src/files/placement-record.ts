import { lstat, readdir, readFile, rm } from 'node:fs/promises'
import { dirname, isAbsolute, join, normalize } from 'node:path'
import { PrivateFile, unlessMissing } from './private-file.ts'

/** A file that was put in place, or is about to be. */
export type PlacedFile = {
  /** Absolute, below the root of the placement. */
  readonly path: string
  /** The SHA-256 in hexadecimal of each content that the file may have by us. */
  readonly written: readonly string[]
  /** Of what was there before, which stands beside the file; absent where nothing was. */
  readonly former?: string
}

/** What there is to take back. */
export type PlacementRecord = {
  readonly files: readonly PlacedFile[]
  /** Directories that were made for it, or are about to be, each before those within. */
  readonly directories: readonly string[]
}

export const emptyRecord: PlacementRecord = { files: [], directories: [] }

/** Raised with each change that an older version could not read. */
const formatVersion = 1

/**
 * Records of placements, each under a name of its own. Whoever takes a placement back does as its record says: one that
 * others could have written is refused.
 */
export class PlacementRecords {
  readonly directory: string

  constructor(directory: string) {
    this.directory = directory
  }

  /** Resolves to `undefined` where there is none. Throws for one that is damaged or not ours. */
  async read(name: string): Promise<PlacementRecord | undefined> {
    const { path } = this.#fileOf(name)
    for (const place of [this.directory, path]) {
      const stats = await unlessMissing(lstat(place))
      if (!stats) return undefined
      const isOurs = stats.uid === process.getuid?.() && (stats.mode & 0o022) === 0 && !stats.isSymbolicLink()
      if (!isOurs) throw new Error(`${place} is not ours alone to write, and so not believed`)
    }
    const record = recordIn(await readFile(path, 'utf8'))
    if (!record) throw new Error(`${path} is damaged, or of another version of Cistern`)
    return record
  }

  /** The directory has to be there. */
  async write(name: string, { files, directories }: PlacementRecord): Promise<void> {
    await this.#fileOf(name).write(`${JSON.stringify({ version: formatVersion, directories, files }, null, 2)}\n`)
  }

  async remove(name: string): Promise<void> {
    const { path } = this.#fileOf(name)
    await rm(`${path}.new`, { force: true }) // of a writer that was killed
    await rm(path, { force: true })
  }

  /** The names of all records. */
  async names(): Promise<string[]> {
    const files = (await unlessMissing(readdir(this.directory))) ?? []
    return files.flatMap((file) => /^(.+)\.json$/.exec(file)?.[1] ?? [])
  }

  #fileOf(name: string): PrivateFile {
    return new PrivateFile(join(this.directory, `${name}.json`))
  }
}

function recordIn(text: string): PlacementRecord | undefined {
  try {
    const { version, files, directories } = Object(JSON.parse(text)) as PlacementRecord & { version: unknown }
    const isSound = version === formatVersion && files.every(isPlacedFile) && directories.every(isPath)
    return isSound ? { files, directories } : undefined
  } catch {
    return undefined
  }
}

function isPlacedFile(value: unknown): value is PlacedFile {
  const { path, written, former } = Object(value) as Record<keyof PlacedFile, unknown>
  return isPath(path) && Array.isArray(written) && written.every(isHash) && (former === undefined || isHash(former))
}

const isHash = (value: unknown): boolean => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)

const isPath = (value: unknown): value is string =>
  typeof value === 'string' && isAbsolute(value) && normalize(value) === value && dirname(value) !== value
