import { execFileSync } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import type { Link } from '../../src/metadata/metadata.ts'
import { SqliteMetadata } from '../../src/metadata/sqlite.ts'
import { type Events, subscribe } from '../../src/telemetry/events.ts'
import { metadataContract } from '../contracts/metadata.ts'
import { eventually } from '../support/eventually.ts'
import { temporaryFolder } from '../support/folder.ts'

const folder = temporaryFolder('metadata')
let files = 0
const path = () => join(mkdtempSync(join(folder, `${files++}-`)), 'metadata.db')
const link: Link = { size: 1, upstream: 'https://r.example.com', linkedAt: 0 }

metadataContract('SqliteMetadata', async () => SqliteMetadata.open(path()))

async function withFaults(work: (faults: Events['cistern:fault'][]) => Promise<void>): Promise<void> {
  const faults: Events['cistern:fault'][] = []
  const unsubscribe = subscribe('cistern:fault', (fault) => faults.push(fault))
  try {
    await work(faults)
  } finally {
    unsubscribe()
  }
}

it('remembers over a restart, readable for its owner alone', async () => {
  const file = path()
  {
    await using metadata = SqliteMetadata.open(file)
    await metadata.links.set('a', link)
  }
  await using metadata = SqliteMetadata.open(file)
  expect(await metadata.links.get('a')).toEqual(link)
  expect(statSync(file).mode & 0o777).toBe(0o600)
})

it('forgets a value that cannot be read, and says so once', () =>
  withFaults(async (faults) => {
    const file = path()
    await using metadata = SqliteMetadata.open(file)
    await metadata.links.set('b', link)
    using other = new DatabaseSync(file)
    other.exec(`INSERT INTO links VALUES ('a', '{"size":'), ('c', '')`)
    const keys: string[] = []
    for await (const [key] of metadata.links.entries()) keys.push(key)
    expect(keys).toEqual(['b'])
    expect(await metadata.links.get('a')).toBeUndefined()
    expect(await metadata.links.create('a', link)).toBe(true)
    expect(faults.map(({ where, kind }) => [where, kind])).toEqual([
      ['metadata', 'corrupt'],
      ['metadata', 'corrupt'],
    ])
  }))

it.each([
  ['garbage', (file: string) => writeFileSync(file, 'x'.repeat(20_000))],
  ['a header alone', (file: string) => truncateSync(file, 100)],
])('G99: metadata found corrupt at the start (%s) are set aside and begun afresh', (_, spoil) =>
  withFaults(async (faults) => {
    const file = path()
    {
      await using metadata = SqliteMetadata.open(file)
      await metadata.links.set('a', link)
    }
    spoil(file)
    const spoilt = readFileSync(file)
    await using metadata = SqliteMetadata.open(file)
    expect(await metadata.links.get('a')).toBeUndefined()
    await metadata.links.set('a', link)
    expect(await metadata.links.get('a')).toEqual(link)
    expect(readFileSync(`${file}.corrupt-1`)).toEqual(spoilt)
    expect(faults).toHaveLength(1)
  }),
)

it('G99: metadata found corrupt later are set aside and begun afresh', () =>
  withFaults(async (faults) => {
    const file = path()
    {
      await using metadata = SqliteMetadata.open(file)
      for (let n = 0; n < 2000; n++) await metadata.links.set(`key-${n}`, link)
    }
    const pageSize = 4096
    const bytes = readFileSync(file)
    bytes.fill(0xff, 5 * pageSize)
    writeFileSync(file, bytes)
    await using metadata = SqliteMetadata.open(file)
    for (let n = 0; n < 2000; n++) await metadata.links.get(`key-${n}`)
    expect(faults).toHaveLength(1)
    await metadata.links.set('a', link)
    expect(await metadata.links.get('a')).toEqual(link)
    expect(readdirSync(join(file, '..'))).toContain('metadata.db.corrupt-1')
  }))

/** Runs a script in a process that may not make files longer than `kibibytes`; `metadata` and `faults` are there. */
function withSmallFiles(kibibytes: number, file: string, script: string): string {
  const module = (path: string) => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href)
  const prelude = `
    import { SqliteMetadata } from ${module('metadata/sqlite.ts')}
    import { subscribe } from ${module('telemetry/events.ts')}
    let faults = 0
    subscribe('cistern:fault', () => faults++)
    await using metadata = SqliteMetadata.open(process.argv[1])`
  const node = [process.execPath, '--input-type=module', '--eval', `${prelude}\n${script}`, '--', file]
  return execFileSync('bash', ['-c', `ulimit -f ${kibibytes}; exec "$0" "$@"`, ...node], { encoding: 'utf8' })
}

it('G90: a write that the disk refuses is dropped and announced, and what was written stays', () => {
  const script = `
    let written = 0
    for (; faults === 0 && written < 10_000; written++) await metadata.links.set('key-' + written, {})
    console.log(faults, await metadata.links.get('key-0'), await metadata.links.get('key-' + (written - 1)))
    console.log(await metadata.repositories.create('x'.repeat(5000), {}), await metadata.repositories.create('y', {}))`
  expect(withSmallFiles(128, path(), script)).toBe('1 {} undefined\nfalse false\n')
})

it('G91: what is known can be read from a disk that was full before the start', async () => {
  const file = path()
  {
    await using metadata = SqliteMetadata.open(file)
    await metadata.links.set('a', link)
  }
  expect(withSmallFiles(24, file, `console.log(faults, (await metadata.links.get('a')).size)`)).toBe('1 1\n')
})

it('opens what was written before there were pulls, and finds the tags in it', async () => {
  const file = path()
  const digest = `sha256:${'a'.repeat(64)}` as const
  {
    using before = new DatabaseSync(file)
    for (const table of ['about', 'repositories', 'links', 'tags', 'referrers']) {
      before.exec(`CREATE TABLE ${table} (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID`)
    }
    before.exec(`INSERT INTO tags VALUES ('r:v1', '{"digest":"${digest}"}'), ('r:v2', '{"digest":')`)
    before.exec('PRAGMA user_version = 1')
  }
  await using metadata = SqliteMetadata.open(file)
  expect(await metadata.tagsOf('r', digest)).toEqual(['v1'])
  await metadata.pulls.set('r', { pulledAt: 1 })
  expect(await metadata.pulls.get('r')).toEqual({ pulledAt: 1 })
})

it('H114: metadata of a newer version are refused and left as they are', () => {
  const file = path()
  {
    using newer = new DatabaseSync(file)
    newer.exec('PRAGMA user_version = 2')
  }
  const before = readFileSync(file)
  expect(() => SqliteMetadata.open(file)).toThrow(/newer version/)
  expect(readFileSync(file)).toEqual(before)
})

describe('a backup', () => {
  const spoil = (file: string) => writeFileSync(file, 'x'.repeat(20_000))

  it('G99: takes the place of metadata found corrupt at the start, and says from when on facts may be missing', () =>
    withFaults(async (faults) => {
      const file = path()
      {
        await using metadata = SqliteMetadata.open(file, { clock: () => 1000 })
        await metadata.links.set('before', link)
        await metadata.backup()
        await metadata.links.set('after', link)
        expect(metadata.since).toBe(1000)
      }
      spoil(file)
      {
        await using metadata = SqliteMetadata.open(file, { clock: () => 2000 })
        expect(await metadata.links.get('before')).toEqual(link)
        expect(await metadata.links.get('after')).toBeUndefined()
        expect(metadata.since).toBe(2000)
        expect(faults).toHaveLength(2)
      }
      await using again = SqliteMetadata.open(file, { clock: () => 3000 })
      expect(again.since).toBe(2000)
    }))

  it('G99: takes the place of metadata found corrupt later', async () => {
    const file = path()
    {
      await using metadata = SqliteMetadata.open(file)
      for (let n = 0; n < 2000; n++) await metadata.links.set(`key-${n}`, link)
      await metadata.backup()
    }
    const bytes = readFileSync(file)
    bytes.fill(0xff, 5 * 4096)
    writeFileSync(file, bytes)
    await using metadata = SqliteMetadata.open(file, { clock: () => 5000 })
    for (let n = 0; n < 2000; n++) expect(await metadata.links.get(`key-${n}`)).toEqual(link)
    expect(metadata.since).toBe(5000)
  })

  it('G99: takes the place of metadata that are missing', async () => {
    const file = path()
    {
      await using metadata = SqliteMetadata.open(file)
      await metadata.links.set('a', link)
      await metadata.backup()
    }
    for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, { force: true })
    await using metadata = SqliteMetadata.open(file)
    expect(await metadata.links.get('a')).toEqual(link)
    expect(statSync(file).mode & 0o777).toBe(0o600)
  })

  it('G99: that is corrupt itself gives way to the one before it, and without that to a fresh file', async () => {
    const file = path()
    {
      await using metadata = SqliteMetadata.open(file)
      await metadata.links.set('first', link)
      await metadata.backup()
      await metadata.links.set('second', link)
      await metadata.backup()
    }
    spoil(file)
    spoil(`${file}.backup`)
    {
      await using metadata = SqliteMetadata.open(file)
      expect(await metadata.links.get('first')).toEqual(link)
      expect(await metadata.links.get('second')).toBeUndefined()
    }
    spoil(file)
    spoil(`${file}.backup-previous`)
    await using metadata = SqliteMetadata.open(file)
    expect(await metadata.links.get('first')).toBeUndefined()
    expect(await metadata.links.create('first', link)).toBe(true)
  })

  it('is made now and then, while others write, and only where something changed', async () => {
    const file = path()
    await using metadata = SqliteMetadata.open(file, { backupIntervalMs: 10 })
    for (let n = 0; n < 500; n++) await metadata.links.set(`key-${n}`, link)
    await eventually(async () => expect(readdirSync(dirname(file))).toContain('metadata.db.backup'))
    await metadata.backup()
    const before = statSync(`${file}.backup`).ino
    await metadata.backup()
    expect(statSync(`${file}.backup`).ino).toBe(before)
    using copy = new DatabaseSync(`${file}.backup`)
    expect(copy.prepare('SELECT count(*) AS links FROM links').get()).toEqual({ links: 500 })
  })

  it('is given up where the metadata are closed meanwhile, and where it cannot be written', async () => {
    const file = path()
    const metadata = SqliteMetadata.open(file)
    for (let n = 0; n < 2000; n++) await metadata.links.set(`key-${n}`, link)
    const made = metadata.backup().catch(() => {})
    await metadata[Symbol.asyncDispose]()
    await made
    await using again = SqliteMetadata.open(file)
    rmSync(`${file}.backup`, { force: true })
    mkdirSync(`${file}.backup.draft`)
    await expect(again.backup()).rejects.toThrow()
    rmSync(`${file}.backup.draft`, { recursive: true })
    await again.backup()
    expect(readdirSync(dirname(file))).toContain('metadata.db.backup')
  })
})

it('G105: lets others have their turn while many entries are listed', async () => {
  await using metadata = SqliteMetadata.open(path())
  for (let n = 0; n < 2000; n++) await metadata.links.set(`key-${n}`, link)
  let turns = 0
  const others = setInterval(() => turns++, 0)
  let seen = 0
  for await (const _ of metadata.links.entries()) seen++
  clearInterval(others)
  expect(seen).toBe(2000)
  expect(turns).toBeGreaterThan(0)
})
