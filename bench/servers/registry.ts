import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { cores } from '../cores.ts'
import { freePort, Server } from './server.ts'

const command = 'docker-registry'

/** In a line of its log. */
const contentGet = /"GET \/v2\/\S+\/(?:manifests|blobs)\//g

/**
 * Debian's docker-registry as the upstream of all, on the processor of the load. Its access log is how requests to it
 * are counted: a proxy in between would slow every cold run.
 */
export class Upstream implements AsyncDisposable {
  readonly url: string
  readonly #server: Server
  readonly #directory: string
  readonly #log: string

  private constructor(server: Server, directory: string, log: string) {
    this.url = server.url
    this.#server = server
    this.#directory = directory
    this.#log = log
  }

  static async start(parent: string): Promise<Upstream> {
    const directory = join(parent, 'upstream')
    const options = await prepare(directory, {})
    return new Upstream(await Server.start({ name: 'upstream', cores: cores.load, ...options }), directory, options.log)
  }

  /** How often a path was asked for by GET, by requests that have ended. */
  async getsOf(path: string): Promise<number> {
    return (await readFile(this.#log, 'utf8')).split(`"GET ${path} `).length - 1
  }

  /** How often content was asked for by GET, whatever it was. */
  async gets(): Promise<number> {
    return [...(await readFile(this.#log, 'utf8')).matchAll(contentGet)].length
  }

  /** Takes the bytes of a blob away that no cache asks for any more, for the disk not to fill up in a long run. */
  async remove(path: string): Promise<void> {
    const digest = /sha256:(\w+)$/.exec(path)?.[1]
    if (digest === undefined) throw new Error(`${path} ends with no digest`)
    await rm(join(this.#directory, 'data/docker/registry/v2/blobs/sha256', digest.slice(0, 2), digest), {
      recursive: true,
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]()
  }
}

/** Debian's docker-registry as a pull-through cache. Like the others it writes one line for each request. */
export async function startDistribution(parent: string, upstream: string, name = 'distribution'): Promise<Server> {
  const options = await prepare(join(parent, name), { proxy: { remoteurl: upstream } })
  return Server.start({ name, cores: cores.server, requestLogs: [options.log], ...options })
}

async function prepare(directory: string, further: object) {
  await mkdir(directory)
  const port = await freePort()
  const config = {
    version: '0.1',
    log: { level: 'error', accesslog: { disabled: false } },
    storage: { filesystem: { rootdirectory: join(directory, 'data') } },
    http: { addr: `127.0.0.1:${port}` },
    ...further,
  }
  const file = join(directory, 'config.yaml')
  await writeFile(file, stringify(config))
  return {
    command,
    args: ['serve', file],
    url: `http://127.0.0.1:${port}`,
    log: join(directory, 'log'),
    env: { PATH: process.env.PATH, OTEL_TRACES_EXPORTER: 'none' },
  }
}
