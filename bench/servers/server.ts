import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { open, readFile, truncate } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { type Cores, pinned } from '../cores.ts'

export type ServerOptions = {
  name: string
  command: string
  args: readonly string[]
  cores: Cores
  /** An origin. */
  url: string
  /** What answers, besides `/v2/`, once it serves; any status will do that is no fault of the server. */
  readyUrl?: string
  /** The file that both of its outputs go to. */
  log: string
  /** Files that it writes a line to for each request, emptied before each run. */
  requestLogs?: readonly string[]
  cwd?: string
  env?: NodeJS.ProcessEnv
}

const startMs = 30_000
const stopMs = 20_000

/** A server in processes of its own, on processors of its own. Disposing ends it. */
export class Server implements AsyncDisposable {
  readonly name: string
  readonly url: string
  readonly pid: number
  readonly #options: ServerOptions
  readonly #child: ChildProcess
  readonly #ended: Promise<unknown>

  private constructor(options: ServerOptions, child: ChildProcess, pid: number) {
    this.name = options.name
    this.url = options.url
    this.pid = pid
    this.#options = options
    this.#child = child
    this.#ended = once(child, 'close')
  }

  /** Resolves once it serves; with `immediately`, once its process is there. Throws, with its log, where it ends. */
  static async start(options: ServerOptions, { immediately = false } = {}): Promise<Server> {
    const { cores, command, args, log, cwd, env } = options
    await using output = await open(log, 'a', 0o600)
    const stdio = ['ignore' as const, output.fd, output.fd]
    const child = spawn(...pinned(cores, command, args), { stdio, ...(cwd && { cwd }), ...(env && { env }) })
    if (child.pid === undefined)
      throw new Error(`${options.name} cannot be started: ${(await once(child, 'error'))[0]}`)
    const server = new Server(options, child, child.pid)
    if (!immediately) await server.#becomeReady()
    return server
  }

  /** Resolves once it answers. Asks every `pollMs`. */
  async answers(pollMs = 50): Promise<void> {
    const { url, readyUrl } = this.#options
    const deadline = performance.now() + startMs
    for (const question of [...(readyUrl === undefined ? [] : [readyUrl]), `${url}/v2/`]) {
      while (!(await isAnswered(question))) {
        const hasEnded = this.#child.exitCode !== null || this.#child.signalCode !== null
        if (hasEnded) throw new Error(await this.#story('has ended'))
        if (performance.now() > deadline) throw new Error(await this.#story('does not answer'))
        await delay(pollMs)
      }
    }
  }

  /** What it wrote about requests up to now goes: logs of a long run fill the disk. */
  async forgetRequests(): Promise<void> {
    for (const path of this.#options.requestLogs ?? []) await truncate(path)
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM')
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), stopMs)
    await this.#ended.finally(() => clearTimeout(timer))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #becomeReady(): Promise<void> {
    try {
      await this.answers()
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  async #story(what: string): Promise<string> {
    return `${this.name} ${what}:\n${(await readFile(this.#options.log, 'utf8')).slice(-4000)}`
  }
}

async function isAnswered(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(startMs) })
    await response.arrayBuffer()
    return response.status < 500
  } catch {
    return false
  }
}

/** One that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
