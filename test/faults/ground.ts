import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type CisternProcess, type RuleConfig, startCistern } from '../support/cistern.ts'
import { eventually } from '../support/eventually.ts'
import { type FaultyUpstream, startUpstream } from '../support/faulty-upstream.ts'
import { type Asking, ask, type Got, open } from './client.ts'

/** Checks that failed are repeated soon, and nobody waits for clients at the end. Waits themselves are as in earnest. */
const briskness = { retryPause: '50ms', drain: '100ms' }

/** Short enough that a test can wait for what takes a minute in earnest, and long enough for a busy machine. */
export const shortPatience = { connect: '500ms', headers: '2s', idle: '1s', revalidate: '1s' }

export type GroundOptions = {
  /** How many upstreams of their own `site` can hand out. */
  sites?: number
  /** Keys of the rules of all these. */
  rule?: Partial<RuleConfig>
  /** Rules to upstreams that the test started itself. */
  rules?: RuleConfig[]
  timeouts?: Record<string, string>
  /** Further keys of the configuration. */
  config?: Record<string, unknown>
  env?: NodeJS.ProcessEnv
}

/** One running Cistern in front of many upstreams, so that what goes wrong with one is no matter to another test. */
export class Ground implements AsyncDisposable {
  readonly cistern: CisternProcess
  readonly #resources: AsyncDisposableStack
  readonly #sites: Site[]

  private constructor(resources: AsyncDisposableStack, cistern: CisternProcess, sites: Site[]) {
    this.#resources = resources
    this.cistern = cistern
    this.#sites = sites
  }

  static async start({ sites = 0, rule, rules = [], timeouts, config, ...options }: GroundOptions): Promise<Ground> {
    await using starting = new AsyncDisposableStack()
    const upstreams = await Promise.all(Array.from({ length: sites }, () => startUpstream()))
    for (const upstream of upstreams) starting.use(upstream)
    const own = upstreams.map((upstream, number) => ruleTo(`site${number}.test`, upstream.url, rule))
    const cistern = starting.use(
      await startCistern({
        rules: [...own, ...rules],
        config: { timeouts: { ...briskness, ...timeouts }, ...config },
        ...options,
      }),
    )
    const made = upstreams.map((upstream, number) => new Site(cistern, `site${number}.test`, upstream))
    return new Ground(starting.move(), cistern, made.reverse())
  }

  /** An upstream that no other test uses. */
  site(): Site {
    const site = this.#sites.pop()
    if (!site) throw new Error('all sites are taken: start the ground with more')
    return site
  }

  /** The side of clients for one of `rules`. */
  at(prefix: string): Reader {
    return new Reader(this.cistern, prefix)
  }

  get(path: string, asking?: Asking): Promise<Got> {
    return ask(`${this.cistern.url}${path}`, asking)
  }

  async metrics(): Promise<string> {
    return (await ask(`${this.cistern.adminUrl}/metrics`)).body.toString()
  }

  /** Waits until the blob is on disk: that is a moment after the client has it. */
  async keeps(digest: string): Promise<void> {
    await eventually(async () => {
      if (!(await this.stored()).includes(digest)) throw new Error(`${digest} was not stored`)
    })
  }

  /** The digests of the blobs on disk. */
  async stored(): Promise<string[]> {
    const root = join(this.cistern.dataDir, 'v1', 'blobs')
    const files = await readdir(root, { recursive: true, withFileTypes: true })
    return files
      .filter((entry) => entry.isFile())
      .map(({ name, parentPath }) => `${parentPath.slice(root.length + 1).split('/')[0]}:${name}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync()
  }
}

/** What a client asks for below one prefix. */
export class Reader {
  readonly prefix: string
  readonly #cistern: CisternProcess

  constructor(cistern: CisternProcess, prefix: string) {
    this.prefix = prefix
    this.#cistern = cistern
  }

  url(rest: string): string {
    return `${this.#cistern.url}/v2/${this.prefix}/${rest}`
  }

  get(rest: string, asking?: Asking): Promise<Got> {
    return ask(this.url(rest), asking)
  }

  manifest(repository: string, reference: string, asking?: Asking): Promise<Got> {
    return this.get(`${repository}/manifests/${reference}`, asking)
  }

  blob(repository: string, digest: string, asking?: Asking): Promise<Got> {
    return this.get(`${repository}/blobs/${digest}`, asking)
  }

  /** A transfer whose body waits to be read. */
  openBlob(repository: string, digest: string, asking?: Asking) {
    return open(this.url(`${repository}/blobs/${digest}`), asking)
  }
}

/** A prefix with the upstream behind it. */
export class Site extends Reader {
  readonly upstream: FaultyUpstream

  constructor(cistern: CisternProcess, prefix: string, upstream: FaultyUpstream) {
    super(cistern, prefix)
    this.upstream = upstream
  }
}

/** A rule under which every tag is checked each time, and nothing is remembered not to exist. */
export const ruleTo = (prefix: string, upstream: string, more: Partial<RuleConfig> = {}): RuleConfig => ({
  prefix,
  upstream,
  tagTtl: '0',
  negativeTtl: '0',
  ...more,
})
