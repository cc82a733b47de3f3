import { mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import packageJson from '../../package.json' with { type: 'json' }
import { root } from '../../test/support/paths.ts'
import { type Cores, cores } from '../cores.ts'
import { freePort, Server, type ServerOptions } from './server.ts'

/** Those that `npm start` gives to Node. */
const nodeFlags = packageJson.scripts.start.match(/--\S+/g) ?? []

export type CisternOptions = {
  /** Its name in error messages, and what the directory is called after that all of it is in. */
  name: string
  upstream: string
  /** Further keys of the configuration. */
  config?: Record<string, unknown>
  /** Where a profile of the processor goes when it ends; absent, none is taken. */
  profileDirectory?: string | undefined
  on?: Cores
}

export type CisternServer = { options: ServerOptions; dataDir: string }

/** Writes the configuration of this clone's Cistern: the defaults, and the names of repositories as upstream has them. */
export async function prepareCistern(parent: string, options: CisternOptions): Promise<CisternServer> {
  const { name, upstream, config, profileDirectory, on = cores.server } = options
  const directory = await mkdtemp(join(parent, `${name}-`))
  const [port, adminPort] = [await freePort(), await freePort()]
  const dataDir = join(directory, 'data')
  const file = join(directory, 'cistern.yaml')
  const settings = {
    listen: `127.0.0.1:${port}`,
    adminListen: `127.0.0.1:${adminPort}`,
    dataDir,
    builtinRules: false,
    defaultUpstream: prefix,
    rules: [{ prefix, upstream }],
    ...config,
  }
  await writeFile(file, stringify(settings))
  const profiling = profileDirectory === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDirectory}`]
  const log = join(directory, 'log')
  return {
    dataDir,
    options: {
      name,
      command: process.execPath,
      args: [...nodeFlags, ...profiling, join(root, 'src', 'main.ts'), 'serve', '--config', file],
      cores: on,
      url: `http://127.0.0.1:${port}`,
      readyUrl: `http://127.0.0.1:${adminPort}/readyz`,
      log,
      requestLogs: [log],
      cwd: directory,
      env: { PATH: process.env.PATH, HOME: directory },
    },
  }
}

export async function startCistern(parent: string, options: CisternOptions): Promise<Server> {
  const { options: serverOptions } = await prepareCistern(parent, options)
  return Server.start(serverOptions)
}

/** The one that leads to upstream, and that names without a prefix are looked for under. */
export const prefix = 'up.example'
