import { execFileSync } from 'node:child_process'
import { expect, it } from 'vitest'
import { DataDirInUse, lockDataDir } from '../../src/metadata/lock.ts'
import { temporaryFolder } from '../support/folder.ts'

const dataDir = () => temporaryFolder('lock')

it('G101: a second process on the same directory is refused', () => {
  const dir = dataDir()
  using _held = lockDataDir(dir)
  const module = new URL('../../src/metadata/lock.ts', import.meta.url).href
  const script = `import { lockDataDir } from ${JSON.stringify(module)}
    try { lockDataDir(process.argv[1]) } catch (error) { process.stdout.write(error.name) }`
  const output = execFileSync(process.execPath, ['--input-type=module', '--eval', script, '--', dir], {
    encoding: 'utf8',
  })
  expect(output).toBe('DataDirInUse')
})

it('is free again once it is disposed, and another directory is never held', () => {
  const dir = dataDir()
  {
    using _held = lockDataDir(dir)
    expect(() => lockDataDir(dir)).toThrow(DataDirInUse)
    lockDataDir(dataDir())[Symbol.dispose]()
  }
  lockDataDir(dir)[Symbol.dispose]()
})
