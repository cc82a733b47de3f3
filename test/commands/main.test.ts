import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { parse } from 'yaml'
import manifest from '../../package.json' with { type: 'json' }
import { temporaryFolder } from '../support/folder.ts'
import { root } from '../support/paths.ts'
import { run } from '../support/process.ts'

const cistern = (...args: string[]) => run(process.execPath, [join(root, 'src', 'main.ts'), ...args])

function file(text: string): string {
  const path = join(temporaryFolder('main'), 'config.yaml')
  writeFileSync(path, text)
  return path
}

it('prints its version and its usage', async () => {
  expect((await cistern('version')).stdout).toBe(`${manifest.version}\n`)
  expect((await cistern('--help')).stdout).toContain('check-config')
})

it.each([[[]], [['nonsense']], [['serve', '--nonsense']]])('takes %j for wrong usage', async (args) => {
  await expect(cistern(...args)).rejects.toThrow(/ended with 2/)
})

it('names a command that there is not', async () => {
  await expect(cistern('nonsense')).rejects.toThrow('cistern: there is no command nonsense; cistern help lists them')
})

it('check-config prints what is in effect, built-in rules and all, without secrets', async () => {
  const path = file('rules: [{ prefix: x, upstream: y, credential: { username: u, password: c4nary } }]')
  const { stdout, stderr } = await cistern('check-config', '--config', path, '--cache-max-size', '1GiB')
  expect(stdout + stderr).not.toContain('c4nary')
  const config = parse(stdout)
  expect(config.cache.maxSize).toBe('1GiB')
  expect(config.rules.map(({ prefix }: { prefix: string }) => prefix)).toEqual(
    expect.arrayContaining(['docker.io', 'x']),
  )
})

it.each(['check-config', 'serve'])('%s names each fault on a line of its own, status 2', async (command) => {
  const path = file('bogus: c4nary\ncache: { maxSize: c4nary }\n')
  const error: Error = await cistern(command, '--config', path).then(
    () => Promise.reject(new Error('it succeeded')),
    (error) => error,
  )
  expect(error.message).toMatch(/ended with 2/)
  expect(error.message).toContain(`${path}:1:1: bogus: unknown key`)
  expect(error.message).toContain(`${path}:2:19: cache.maxSize: must be a size`)
  expect(error.message).not.toContain('c4nary')
})

it('refuses to be open, or not encrypted, beyond loopback unless told so', async () => {
  await expect(cistern('serve', '--listen', '0.0.0.0:0')).rejects.toThrow(
    /ended with 2:\ncistern: --listen: .*auth\.mode.*\ncistern: --listen: .*allowPlainHttp/,
  )
})

it('is what npx runs in a clone, whatever Node the machine has', async () => {
  const path = (process.env.PATH ?? '').split(':').filter((folder) => !folder.includes('node_modules'))
  const env = { ...process.env, PATH: path.join(':') }
  expect((await run('npx', ['--no-install', 'cistern', 'version'], { cwd: root, env })).stdout).toBe(
    `${manifest.version}\n`,
  )
})
