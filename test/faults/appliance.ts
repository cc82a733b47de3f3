import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import type { FileSystem } from '../../src/blobs/file-system.ts'
import { type Instance, openInstance } from '../../src/commands/instance.ts'
import { loadConfig } from '../../src/config.ts'
import { type Events, subscribe } from '../../src/telemetry/events.ts'
import type { RuleConfig } from '../support/cistern.ts'
import { eventually } from '../support/eventually.ts'
import { type FaultyUpstream, startUpstream } from '../support/faulty-upstream.ts'
import { type Asking, ask, digestOfBytes, type Got } from './client.ts'

export type ApplianceOptions = {
  fileSystem?: FileSystem
  /** Milliseconds since the epoch; by default the system's. */
  clock?: () => number
  /** Keys of the rule. */
  rule?: Partial<RuleConfig>
  config?: Record<string, unknown>
  /** Made and removed by the test; by default a temporary one. */
  dataDir?: string
}

/** What a configuration needs that leads to one upstream; `directory` is where its file goes. */
export async function writeConfig(directory: string, dataDir: string, upstream: string, options: ApplianceOptions) {
  const addresses = { listen: '127.0.0.1:0', adminListen: '127.0.0.1:0', dataDir }
  const rule = { prefix: 'up.test', upstream, tagTtl: '0', negativeTtl: '0', ...options.rule }
  const file = join(directory, 'cistern.yaml')
  await writeFile(file, stringify({ ...addresses, builtinRules: false, rules: [rule], ...options.config }))
  return file
}

/** A Cistern in the process of the test, over a file system of its choice, in front of one upstream. */
export class Appliance implements AsyncDisposable {
  readonly upstream: FaultyUpstream
  /** Of the appliance and the test; goes with it. */
  readonly directory: string
  readonly dataDir: string
  readonly faults: Events['cistern:fault'][] = []
  readonly #resources: AsyncDisposableStack
  readonly #options: ApplianceOptions
  #instance: Instance

  private constructor(
    resources: AsyncDisposableStack,
    upstream: FaultyUpstream,
    instance: Instance,
    directory: string,
    options: ApplianceOptions,
  ) {
    this.#resources = resources
    this.upstream = upstream
    this.#instance = instance
    this.directory = directory
    this.#options = options
    this.dataDir = dataDirOf(directory, options)
    resources.defer(subscribe('cistern:fault', (fault) => this.faults.push(fault)))
  }

  static async start(options: ApplianceOptions = {}): Promise<Appliance> {
    await using starting = new AsyncDisposableStack()
    const directory = await mkdtemp(join(tmpdir(), 'cistern-faults-'))
    starting.defer(() => rm(directory, { recursive: true, force: true }))
    const upstream = starting.use(await startUpstream())
    const instance = await open(directory, upstream, options)
    return new Appliance(starting.move(), upstream, instance, directory, options)
  }

  get adminUrl(): string {
    return this.#instance.adminUrl
  }

  blob(digest: string, asking?: Asking): Promise<Got> {
    return this.get(`blobs/${digest}`, asking)
  }

  manifest(reference: string, asking?: Asking): Promise<Got> {
    return this.get(`manifests/${reference}`, asking)
  }

  url(rest: string): string {
    return `${this.#instance.url}/v2/up.test/app/${rest}`
  }

  get(rest: string, asking?: Asking): Promise<Got> {
    return ask(this.url(rest), asking)
  }

  /** As clients see it: the status, and of a complete body the digest. */
  async told(rest: string): Promise<{ status: number; digest?: string }> {
    const { status, body, complete } = await this.get(rest)
    return { status, ...(complete && { digest: digestOfBytes(body) }) }
  }

  async readiness(): Promise<Record<string, unknown>> {
    const { status, body } = await ask(`${this.adminUrl}/readyz`)
    return { status, ...JSON.parse(body.toString()).checks }
  }

  async metric(name: string): Promise<number> {
    const { body } = await ask(`${this.adminUrl}/metrics`)
    return Number(new RegExp(`^${name} (.*)$`, 'm').exec(body.toString())?.[1])
  }

  /** Opens it again, on the same data, with `between` happening while it is closed. */
  async restart(between: () => Promise<void> = async () => {}, again: Partial<ApplianceOptions> = {}): Promise<void> {
    await this.#instance.close()
    await between()
    this.#instance = await open(this.directory, this.upstream, { ...this.#options, ...again })
  }

  /** Waits until the store has it: that is a moment after the client has it. */
  async keeps(digest: string): Promise<void> {
    await eventually(async () => {
      if (!(await this.stored()).includes(digest)) throw new Error(`${digest} was not stored`)
    })
  }

  /** Waits until nothing is in the making. */
  async settles(): Promise<void> {
    await eventually(async () => {
      const left = await this.files('ingest')
      const running = await this.metric('cistern_inflight_downloads')
      if (left.length > 0 || running > 0) throw new Error(`${running} transfers run, and ${left} are there`)
    })
  }

  /** The digests of the blobs on disk. Throws where a file is not what its name says. */
  async stored(): Promise<string[]> {
    return wholeBlobs(this.dataDir)
  }

  /** Names below a directory of the store. */
  async files(below: 'ingest' | 'quarantine'): Promise<string[]> {
    return readdir(join(this.dataDir, 'v1', below)).catch(() => [])
  }

  pathOf(digest: string): string {
    const [algorithm = '', hex = ''] = digest.split(':')
    return join(this.dataDir, 'v1', 'blobs', algorithm, hex.slice(0, 2), hex)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#instance.close()
    await this.#resources.disposeAsync()
  }
}

/** The digests of the blobs in a data directory. Throws where a file is not what its name says. */
export async function wholeBlobs(dataDir: string): Promise<string[]> {
  const root = join(dataDir, 'v1', 'blobs', 'sha256')
  const files = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => [])
  const digests: string[] = []
  for (const file of files.filter((entry) => entry.isFile())) {
    const digest = digestOfBytes(await readFile(join(file.parentPath, file.name)))
    if (digest !== `sha256:${file.name}`) throw new Error(`${file.name} holds ${digest}`)
    digests.push(digest)
  }
  return digests
}

async function open(directory: string, upstream: FaultyUpstream, options: ApplianceOptions): Promise<Instance> {
  const dataDir = dataDirOf(directory, options)
  await mkdir(dataDir, { recursive: true })
  const config = loadConfig(['--config', await writeConfig(directory, dataDir, upstream.url, options)], {})
  const { fileSystem, clock } = options
  return openInstance(config, { ...(fileSystem && { fileSystem }), ...(clock && { clock }) })
}

const dataDirOf = (directory: string, { dataDir }: ApplianceOptions): string => dataDir ?? join(directory, 'data')
