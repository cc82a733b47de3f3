import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import packageJson from '../../package.json' with { type: 'json' }
import { root } from './paths.ts'
import { Service } from './process.ts'
import type { TestRegistry } from './registry.ts'

/** How many processes serve clients where a test does not say. */
const workers = Number(process.env.CISTERN_TEST_WORKERS ?? 1)

/** Those that `npm start` gives to Node. */
const nodeFlags = packageJson.scripts.start.match(/--\S+/g) ?? []

export type RuleConfig = {
  prefix: string
  upstream: string
  credential?: Record<string, string>
  realmHosts?: string[]
  tagTtl?: string
  [key: string]: unknown
}

export type CisternOptions = {
  rules: RuleConfig[]
  /** Further keys of the configuration. */
  config?: Record<string, unknown>
  env?: NodeJS.ProcessEnv
}

/** A rule that leads to a registry under test, with what it takes to pull from there. */
export const ruleFor = (registry: TestRegistry, rule: Partial<RuleConfig> = {}): RuleConfig => ({
  prefix: 'up.example',
  upstream: registry.proxy.url,
  ...(registry.account && { credential: registry.account }),
  ...(registry.tokens && { realmHosts: [registry.tokens.origin] }),
  ...rule,
})

type Addresses = { url: string; adminUrl: string }

/**
 * Starts the product in a process of its own, with its data in a temporary directory that goes with it. Nothing of the
 * surroundings reaches it: no proxy, no AWS profile, no setting of its own.
 */
export async function startCistern(options: CisternOptions): Promise<CisternProcess> {
  await using starting = new AsyncDisposableStack()
  const { path } = starting.use(await mkdtempDisposable(join(tmpdir(), 'cistern-test-')))
  const addresses = { listen: '127.0.0.1:0', adminListen: '127.0.0.1:0', dataDir: join(path, 'data') }
  const config = { ...addresses, builtinRules: false, workers, rules: options.rules, ...options.config }
  await writeFile(configFile(path), stringify(config))
  const env = { PATH: process.env.PATH, HOME: path, ...options.env }
  const running = await serve(path, env)
  return new CisternProcess(starting.move(), path, env, running)
}

export class CisternProcess implements AsyncDisposable {
  readonly directory: string
  readonly #resources: AsyncDisposableStack
  readonly #env: NodeJS.ProcessEnv
  readonly #earlierLogs: string[] = []
  #service: Service
  #addresses: Addresses

  constructor(resources: AsyncDisposableStack, directory: string, env: NodeJS.ProcessEnv, running: Running) {
    this.#resources = resources
    this.directory = directory
    this.#env = env
    this.#service = running.service
    this.#addresses = running.addresses
  }

  /** Of the data plane. Another one after a restart. */
  get url(): string {
    return this.#addresses.url
  }

  get host(): string {
    return new URL(this.url).host
  }

  get adminUrl(): string {
    return this.#addresses.adminUrl
  }

  get dataDir(): string {
    return join(this.directory, 'data')
  }

  get pid(): number | undefined {
    return this.#service.pid
  }

  /** All log lines of all starts. */
  get logs(): readonly string[] {
    return [...this.#earlierLogs, ...this.#service.lines]
  }

  /** Resolves to the exit status. */
  stop(): Promise<number | NodeJS.Signals> {
    return this.#service.stop()
  }

  kill(): Promise<number | NodeJS.Signals> {
    return this.#service.stop('SIGKILL')
  }

  /** Stops it where it still runs, and starts it again on the same data. */
  async restart(): Promise<void> {
    await this.stop()
    this.#earlierLogs.push(...this.#service.lines)
    const running = await serve(this.directory, this.#env)
    this.#service = running.service
    this.#addresses = running.addresses
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    await this.#resources.disposeAsync()
  }
}

type Running = { service: Service; addresses: Addresses }

async function serve(directory: string, env: NodeJS.ProcessEnv): Promise<Running> {
  const args = [...nodeFlags, join(root, 'src', 'main.ts'), 'serve', '--config', configFile(directory)]
  const service = new Service(process.execPath, args, { env, cwd: directory })
  try {
    return { service, addresses: await service.line(listeningLine) }
  } catch (error) {
    await service.stop('SIGKILL')
    throw error
  }
}

function listeningLine(line: string): Addresses | undefined {
  if (!line.includes('"msg":"listening"')) return undefined
  return JSON.parse(line) as Addresses
}

const configFile = (directory: string): string => join(directory, 'cistern.yaml')
