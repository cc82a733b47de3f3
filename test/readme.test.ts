import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs'
import { appendFile, mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { parse as parseToml } from 'smol-toml'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import manifest from '../package.json' with { type: 'json' }
import { clients } from '../src/clients/all.ts'
import { loadConfig } from '../src/config.ts'
import { Metrics } from '../src/telemetry/metrics.ts'
import { type CisternProcess, ruleFor, startCistern } from './support/cistern.ts'
import { debianImageTools, pushDebianImage } from './support/debian-image.ts'
import { root } from './support/paths.ts'
import { run } from './support/process.ts'
import { registryTools, startRegistry } from './support/registry.ts'
import { withTools } from './support/with-tools.ts'

type Block = { language: string; text: string; before: string }

const read = (path: string) => readFileSync(join(root, path), 'utf8')
const readme = read('README.md')
const documents = ['README.md', ...globSync('docs/*.md', { cwd: root })]

/** Fenced blocks, each with the line of prose above it. */
const blocksOf = (text: string): Block[] =>
  [...text.matchAll(/^(.*)\n+```(\w*)\n([\s\S]*?)^```$/gm)].map(([, before = '', language = '', text = '']) => ({
    language,
    text,
    before,
  }))

/** Fenced blocks and spans: what readers may type. */
const codeOf = (text: string): string[] => [
  ...blocksOf(text).map(({ text }) => text),
  ...[...text.matchAll(/`([^`\n]+)`/g)].map(([, span = '']) => span),
]

const cistern = (...args: string[]) => run(process.execPath, [join(root, 'src', 'main.ts'), ...args])

describe('the clients', () => {
  const section = /^## Clients$([\s\S]*?)^## /m.exec(readme)?.[1] ?? ''
  const consoles = blocksOf(section).filter(({ language }) => language === 'console')

  it('are all in the table', () => {
    const rows = [...section.matchAll(/^\| ((?:`\w+`(?:, )?)+) \| .*\|$/gm)].map(([, names = '']) => names)
    const named = rows.flatMap((names) => [...names.matchAll(/`(\w+)`/g)].map(([, name]) => name))
    expect(named).toEqual(clients.map(({ name }) => name))
  })

  it('are set up by what the command prints', async () => {
    await using directory = await mkdtempDisposable(join(tmpdir(), 'cistern-readme-'))
    for (const { command, output } of consoles.flatMap(({ text }) => stepsOf(text))) {
      const args = command.split(' ').slice(2)
      const { stdout } = await run(process.execPath, [join(root, 'src', 'main.ts'), ...args], { cwd: directory.path })
      expect(stdout.trimEnd(), command).toBe(output)
    }
    expect(consoles.length).toBeGreaterThan(0)
  })

  it('have well-formed recipes', () => {
    for (const path of globSync('deploy/clients/**/*.{json,yaml}', { cwd: root })) {
      expect(parse(read(path), { strict: true }), path).toBeTypeOf('object')
    }
    for (const path of globSync('deploy/clients/**/*.{toml,conf}', { cwd: root })) {
      expect(parseToml(read(path)), path).toBeTypeOf('object')
    }
  })
})

describe.each(documents)('%s', (document) => {
  const text = read(document)

  it('links to what exists', () => {
    const targets = [...text.matchAll(/\]\((?!https?:)([^)#]*)(?:#([\w-]+))?\)/g)]
    const broken = targets.filter(([, path = '', anchor]) => {
      const file = path === '' ? document : join(dirname(document), path)
      if (!existsSync(join(root, file))) return true
      return anchor !== undefined && !headingsOf(read(file)).includes(anchor)
    })
    expect(broken.map(([link]) => link)).toEqual([])
  })

  it('names commands that exist', async () => {
    const { stdout: usage } = await cistern('help')
    const code = codeOf(text).join('\n')
    const own = [...code.matchAll(/\bcistern ([a-z][\w-]*)/g)].map(([, name]) => name)
    const scripts = [...code.matchAll(/\bnpm (run )?([a-z][\w:-]*)/g)].map(
      ([, prefix = '', name = '']) => prefix + name,
    )
    const binaries = [...code.matchAll(/\bnpx (?!cistern\b)(\w+)/g)].map(([, name]) => name)
    const known = ['ci', 'start', 'test', ...Object.keys(manifest.scripts).map((name) => `run ${name}`)]
    expect(own.filter((name) => !usage.includes(`\n  ${name} `))).toEqual([])
    expect(scripts.filter((name) => !known.includes(name))).toEqual([])
    expect(binaries.filter((name) => !existsSync(join(root, 'node_modules', '.bin', `${name}`)))).toEqual([])
  })

  it('names metrics that exist', async () => {
    using metrics = new Metrics({ version: '', cacheLimit: 0, usage: () => ({ stored: 0, objects: 0, expected: 0 }) })
    const { body } = await metrics.read()
    const named = [...text.matchAll(/\b(?:cistern|registry_proxy)_[a-z_]*[a-z]\b/g)].map(([name]) => name)
    expect(named.filter((name) => !body.includes(`# TYPE ${name} `))).toEqual([])
  })

  it('shows configurations that are accepted', async () => {
    await using directory = await mkdtempDisposable(join(tmpdir(), 'cistern-readme-'))
    const file = join(directory.path, 'cistern.yaml')
    for (const { text: shown } of blocksOf(text).filter(({ text }) => /^(?:rules|listen):/.test(text))) {
      await writeFile(file, shown)
      expect(() => loadConfig(['--config', file], {}), shown).not.toThrow()
    }
  })
})

it('docs/architecture.md has every folder of src', () => {
  const folders = readdirSync(join(root, 'src'), { withFileTypes: true }).filter((entry) => entry.isDirectory())
  const rows = [...read('docs/architecture.md').matchAll(/^\| `(\w+)\/` \|/gm)].map(([, name]) => name)
  expect(rows.sort()).toEqual(folders.map(({ name }) => name).sort())
})

it('deploy/cistern.yaml passes check-config', async () => {
  const { stdout } = await cistern('check-config', '--config', join(root, 'deploy', 'cistern.yaml'))
  const { rules } = parse(read('deploy/cistern.yaml')) as { rules: { prefix: string }[] }
  const printed = (parse(stdout) as { rules: { prefix: string }[] }).rules.map(({ prefix }) => prefix)
  expect(printed).toEqual(expect.arrayContaining(rules.map(({ prefix }) => prefix)))
})

withTools(
  'skopeo',
  'curl',
  ...registryTools,
  ...debianImageTools,
)('the tour of the README', () => {
  it('prints what it says', async () => {
    await using directory = await mkdtempDisposable(join(tmpdir(), 'cistern-tour-'))
    await using registry = await startRegistry()
    await using cistern = await startCistern({ rules: [ruleFor(registry, { prefix: 'docker.io' })] })
    await pushDebianImage(registry, 'library/busybox', 'latest')
    const consoles = blocksOf(readme).filter(({ language }) => language === 'console')
    const [open = [], offline = []] = consoles.map(({ text }) => stepsOf(text))
    const inside = stepsOf(consoles.find(({ text }) => text.includes('cistern explain'))?.text ?? '')

    for (const step of [...open, ...inside]) expect(await take(step, cistern, directory.path)).toEqual(step)
    await appendFile(join(cistern.directory, 'cistern.yaml'), '\noffline: true\n')
    await cistern.restart()
    for (const step of offline) expect(await take(step, cistern, directory.path)).toEqual(step)

    expect(open.length).toBeGreaterThan(2)
    expect(offline.length).toBeGreaterThan(2)
    expect(inside.length).toBeGreaterThan(0)
  })
})

type Step = { command: string; output: string }

const stepsOf = (text: string): Step[] =>
  text
    .split(/^\$ /m)
    .slice(1)
    .map((step) => {
      const [command = '', ...output] = step.trimEnd().split('\n')
      return { command, output: timeless(output.join('\n')) }
    })

async function take({ command }: Step, { host, directory }: CisternProcess, cwd: string): Promise<Step> {
  const here = `${process.execPath} ${join(root, 'src', 'main.ts')}`
  const env = { ...process.env, CISTERN_CONFIG: join(directory, 'cistern.yaml') }
  const line = command.replaceAll('127.0.0.1:5000', host).replaceAll('npx cistern', here)
  const { stdout } = await run('sh', ['-c', line], { cwd, env })
  return { command, output: timeless(stdout.replaceAll('\r', '').trimEnd()) }
}

/** What is another thing each time, or where the rule is of the configuration. */
const timeless = (output: string): string =>
  output.replace(/ttl=\d+/g, 'ttl=…').replace('of the configuration', 'built in')

/** As they are linked to: https://docs.github.com/en/get-started/writing-on-github */
const headingsOf = (text: string): string[] =>
  [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w -]/g, '')
      .replaceAll(' ', '-'),
  )
