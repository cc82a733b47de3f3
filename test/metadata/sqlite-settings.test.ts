import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, it } from 'vitest'
import { SqliteSettings } from '../../src/metadata/sqlite-settings.ts'
import { temporaryFolder } from '../support/folder.ts'

const newPath = () => join(temporaryFolder('settings'), 'settings.db')

async function written(path: string): Promise<void> {
  await using store = SqliteSettings.open(path)
  await store.repositories.set('hub/a', { policy: 'p' })
}

it('keeps settings over a restart, readable for its owner alone', async () => {
  const path = newPath()
  await written(path)
  await using store = SqliteSettings.open(path)
  expect(await store.repositories.get('hub/a')).toEqual({ policy: 'p' })
  expect(statSync(path).mode & 0o777).toBe(0o600)
})

it('puts its backup in the place of a corrupt file', async () => {
  const path = newPath()
  await written(path)
  writeFileSync(path, 'not a database at all, by any means')
  await using store = SqliteSettings.open(path)
  expect(await store.repositories.get('hub/a')).toEqual({ policy: 'p' })
  expect(existsSync(`${path}.corrupt-1`)).toBe(true)
})

it('begins nothing afresh where a corrupt file has no backup, and leaves the file', async () => {
  const path = newPath()
  await written(path)
  for (const copy of ['backup', 'backup-previous']) rmSync(`${path}.${copy}`, { force: true })
  writeFileSync(path, 'not a database at all, by any means')
  expect(() => SqliteSettings.open(path)).toThrow('is corrupt, and there is no backup')
  expect(readFileSync(path, 'utf8')).toBe('not a database at all, by any means')
})

it('forgets no value that it cannot read', async () => {
  const path = newPath()
  await written(path)
  await using store = SqliteSettings.open(path)
  using other = new DatabaseSync(path)
  other.exec(`UPDATE repositories SET value = '{'`)
  await expect(store.repositories.get('hub/a')).rejects.toThrow()
  expect(other.prepare('SELECT value FROM repositories').all()).toEqual([{ value: '{' }])
})
