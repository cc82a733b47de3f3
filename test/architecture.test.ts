import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { importsOf, type Table, violations } from './support/architecture.ts'
import { root } from './support/paths.ts'

const builtin = /^node:/
const vocabulary = ['oci/', 'async/', 'telemetry/events.ts']
const ports = ['blobs/blob-store.ts', 'metadata/metadata.ts', 'credentials/credentials.ts']

const table: Table = {
  'main.ts': 'anything',
  'commands/': 'anything',
  'config.ts': { ours: ['config/', 'oci/', 'rules/'], packages: [builtin, 'yaml', 'zod'] },
  'config/': { ours: ['config.ts', 'oci/', 'rules/'], packages: [builtin, 'yaml', 'zod'] },
  'oci/': { ours: [], packages: ['node:crypto', 'node:stream'] },
  'async/': { ours: [], packages: [] },
  'files/': { ours: [], packages: [builtin] },
  // What clients read, as text; who writes it is another matter.
  'clients/': { ours: [...vocabulary, 'rules/', 'config/homes.ts'], packages: ['smol-toml', 'yaml'] },
  'blobs/': { ours: vocabulary, packages: [builtin] },
  'metadata/': { ours: vocabulary, packages: [builtin] },
  'credentials/': {
    ours: [...vocabulary, 'rules/rule.ts'],
    packages: [builtin, /^@aws-sdk\/client-(ecr|secrets-manager)$/],
  },
  'rules/': { ours: vocabulary, packages: ['node:util'] },
  'rules/rule-file.ts': { ours: [...vocabulary, 'rules/', 'files/'], packages: [builtin, 'lowdb'] },
  'upstream/': {
    ours: [...vocabulary, 'rules/rule.ts', 'credentials/credentials.ts'],
    packages: [builtin, 'undici', 'lru-cache', 'ipaddr.js'],
  },
  'cache/': { ours: [...vocabulary, ...ports, 'rules/'], packages: [builtin, 'lru-cache'] },
  'access/': {
    ours: [...vocabulary, ...ports, 'rules/', 'files/'],
    packages: [builtin, 'jose', 'bcryptjs', '@smithy/signature-v4', 'lru-cache', 'ipaddr.js'],
  },
  'secrets/': { ours: [...vocabulary, 'files/'], packages: [builtin] },
  'lifecycle/': { ours: [...vocabulary, ...ports, 'rules/'], packages: [] },
  'repositories/': {
    ours: [...vocabulary, ...ports, 'metadata/settings.ts', 'rules/', 'lifecycle/'],
    packages: [builtin, 'lru-cache'],
  },
  // Tells what all the others know of an image; asks ports, and never an adapter.
  'inspection/': {
    ours: [...vocabulary, ...ports, 'rules/', 'repositories/', 'access/', 'transfer/'],
    packages: ['lru-cache'],
  },
  // Whole images: in from upstreams, out and in by bundles. Knows files, and no HTTP.
  'transfer/': {
    ours: [...vocabulary, ...ports, 'rules/', 'repositories/'],
    packages: [builtin, 'yaml', 'tar-stream'],
  },
  'http/': {
    ours: [...vocabulary, ...ports, 'rules/', 'access/', 'secrets/', 'lifecycle/', 'repositories/'],
    packages: [builtin, 'hono', '@hono/node-server'],
  },
  'http/prepared.ts': { ours: vocabulary, packages: ['lru-cache'] },
  'http/ecr/': {
    ours: [
      ...[...vocabulary, ...ports, 'metadata/settings.ts'],
      ...['rules/', 'access/', 'secrets/', 'lifecycle/', 'repositories/', 'http/'],
    ],
    packages: [builtin, 'hono', 'zod'],
  },
  // What a front and the owner of the cache say to each other about a request; errors cross as they are described.
  'http/front/': {
    ours: [...vocabulary, 'blobs/blob-store.ts', 'telemetry/describe-error.ts', 'http/'],
    packages: [builtin],
  },
  // Processes: all that knows of them. A front is put together like an instance, of adapters.
  'cluster.ts': { ours: [...vocabulary, 'cluster/', 'http/', 'telemetry/samples.ts'], packages: [builtin] },
  'cluster/': {
    ours: [
      ...vocabulary,
      'http/',
      'inspection/tally.ts',
      'telemetry/',
      'blobs/disk.ts',
      'commands/survival.ts',
      'commands/compile-cache.ts',
    ],
    packages: [builtin],
  },
  'telemetry/': { ours: ['oci/'], packages: [builtin, 'pino', 'prom-client'] },
}

function sources() {
  const directory = join(root, 'src')
  return globSync('**/*.ts', { cwd: directory }).map((path) => ({
    path,
    text: readFileSync(join(directory, path), 'utf8'),
  }))
}

describe('the architecture', () => {
  it('is kept by every file', () => {
    const files = sources()

    expect(files.length).toBeGreaterThan(10)
    expect(violations(files, table)).toEqual([])
  })

  it.each([
    ['oci/digest.ts', "import { x } from '../rules/rule.ts'", 'imports ../rules/rule.ts'],
    ['oci/digest.ts', "import { z } from 'zod'", 'imports zod'],
    ['blobs/disk.ts', "import { Sqlite } from '../metadata/sqlite.ts'", 'imports ../metadata/sqlite.ts'],
    ['cache/fill.ts', "import type { Upstream } from '../upstream/upstream.ts'", 'imports ../upstream/upstream.ts'],
    ['cache/fill.ts', "import {\n  request,\n  Agent,\n} from 'undici'", 'imports undici'],
    ['http/app.ts', "export * from '../cache/fill.ts'", 'imports ../cache/fill.ts'],
    ['http/oci/app.ts', "const late = await import('undici')", 'imports undici'],
    ['http/oci/app.ts', "import '../../upstream/upstream.ts'", 'imports ../../upstream/upstream.ts'],
    ['http/app.ts', "import { x } from '../../test/support/paths.ts'", 'imports ../../test/support/paths.ts'],
    ['http/app.ts', "import { x } from 'hono-evil'", 'imports hono-evil'],
    ['helpers/strings.ts', '', 'stands in no folder of the table'],
    ['cache/fill.ts', 'export default 1', 'exports a default'],
    ['cache/fill.ts', 'export { fill as default }', 'exports a default'],
    ['cache/fill.ts', 'const home = process.env.HOME', 'reads process.env'],
    ['cache/fill.ts', "import { env } from 'node:process'", 'reads process.env'],
    ['cache/fill.ts', "console.log('x')", 'writes to the console'],
    ['cache/fill.ts', 'x\n'.repeat(301), 'has 301 lines, more than 300'],
  ])('is broken by %s with %j', (path, text, what) => {
    expect(violations([{ path, text }], table)).toEqual([`${path}: ${what}`])
  })

  it('lets pass what only comments speak of', () => {
    const text = "// import { z } from 'zod'\n/* console.log(process.env) */\nconst url = 'http://x' // console.log\n"

    expect(violations([{ path: 'oci/digest.ts', text }], table)).toEqual([])
  })

  it('sees imports of every form', () => {
    const text =
      "import a from 'a'\nimport type { B } from \"b\"\nimport 'c'\nexport { d } from 'd'\nawait import('e')\n"

    expect(importsOf(text)).toEqual(['a', 'b', 'c', 'd', 'e'])
  })
})
