import { type Config, ConfigError, loadConfig } from '../config.ts'
import type { ImageSummary, RepositorySummary } from '../inspection/listing.ts'
import { askInstanceForLines } from './control.ts'
import { atDesk, type Desk } from './desk.ts'
import { parsed } from './options.ts'
import { printedSize, printedTable, printedTime } from './print.ts'

/** Lists repositories, or with `--images` what they hold. Throws `ConfigError`, and what goes wrong on the way. */
export async function ls(args: readonly string[]): Promise<number> {
  const { options, positionals, others } = parsed(args, { images: { type: 'boolean' }, json: { type: 'boolean' } })
  const [prefix = '', ...more] = positionals
  if (more.length > 0) throw new ConfigError(['ls is followed by one prefix at most'])
  const config = loadConfig(others)
  const json = options.json ?? false
  if (options.images) {
    const heading = ['REPOSITORY', 'TAGS', 'DIGEST', 'SIZE', 'PULLED']
    const target = `/images?${new URLSearchParams({ prefix })}`
    await list(config, target, (desk) => desk.images(prefix), { heading, row: imageRow, json })
  } else {
    const heading = ['REPOSITORY', 'IMAGES', 'SIZE', 'PULLED']
    const target = `/repositories?${new URLSearchParams({ prefix })}`
    await list(config, target, (desk) => desk.repositories(prefix), { heading, row: repositoryRow, json })
  }
  return 0
}

type Form<T> = { heading: string[]; row: (entry: T) => string[]; json: boolean }

async function list<T>(config: Config, target: string, here: (desk: Desk) => AsyncIterable<T>, form: Form<T>) {
  const lines = await askInstanceForLines(config.dataDir, target)
  if (lines) await print(lines as AsyncIterable<T>, form)
  else await atDesk(config, (desk) => print(here(desk), form))
}

/** So many rows share the widths of their columns: a listing may be longer than memory. */
const maxRows = 1000

/** Programs get each entry as it comes. */
async function print<T>(entries: AsyncIterable<T>, { heading, row, json }: Form<T>): Promise<void> {
  let rows = [heading]
  for await (const entry of entries) {
    if (json) process.stdout.write(`${JSON.stringify(entry)}\n`)
    else rows.push(row(entry))
    if (rows.length < maxRows) continue
    process.stdout.write(printedTable(rows))
    rows = []
  }
  if (!json) process.stdout.write(printedTable(rows))
}

const repositoryRow = ({ repository, images, bytes, pulledAt }: RepositorySummary): string[] => [
  repository,
  String(images),
  printedSize(bytes),
  printedPull(pulledAt),
]

const imageRow = ({ repository, tags, digest, size, pulledAt }: ImageSummary): string[] => [
  repository,
  tags.join(',') || '-',
  digest,
  size === undefined ? '-' : printedSize(size),
  printedPull(pulledAt),
]

const printedPull = (pulledAt: number | undefined) => (pulledAt === undefined ? '-' : printedTime(pulledAt))
