import { mkdtempDisposable, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { PrivateFile } from '../../src/files/private-file.ts'

const scratch = () => mkdtempDisposable(join(tmpdir(), 'cistern-file-'))

it('is for its owner alone, even over what a killed writer left', async () => {
  await using directory = await scratch()
  const file = new PrivateFile(join(directory.path, 'secret'))
  expect(await file.read()).toBeUndefined()
  await writeFile(`${file.path}.new`, 'half', { mode: 0o644 })

  await file.write('whole')

  expect(String(await file.read())).toBe('whole')
  expect((await stat(file.path)).mode & 0o777).toBe(0o600)
  expect(await readdir(directory.path)).toEqual(['secret'])
})

it('keeps what it held before, where that is asked for', async () => {
  await using directory = await scratch()
  const file = new PrivateFile(join(directory.path, 'rules'), { keepsPrevious: true })
  for (const content of ['1', '2', '3']) await file.write(content)

  expect(String(await file.readPrevious())).toBe('2')
  expect(await readFile(file.path, 'utf8')).toBe('3')
  expect((await stat(file.previousPath)).mode & 0o777).toBe(0o600)
})

it('stays as it was where a write fails', async () => {
  await using directory = await scratch()
  const file = new PrivateFile(join(directory.path, 'missing', 'secret'))

  await expect(file.write('x')).rejects.toMatchObject({ code: 'ENOENT' })
  expect(await file.read()).toBeUndefined()
})
