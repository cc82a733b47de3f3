import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'

export type Output = { stdout: string; stderr: string }

export type RunOptions = { env?: NodeJS.ProcessEnv; cwd?: string; input?: string; timeoutMs?: number }

/** Runs a program to its end. Throws, with what it printed, where that is not success. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Output> {
  const { env, cwd, input = '', timeoutMs = 60_000 } = options
  const child = spawn(command, args, {
    ...(env && { env }),
    ...(cwd && { cwd }),
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  })
  const ended = once(child, 'close')
  child.stdin.on('error', () => {}) // a program that does not read its input closes it
  child.stdin.end(input)
  const [stdout, stderr, [code, signal]] = await Promise.all([text(child.stdout), text(child.stderr), ended])
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code ?? signal}:\n${stdout}${stderr}`)
  return { stdout, stderr }
}

/** A server in a process of its own. Disposing ends it. */
export class Service implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #lines: string[] = []
  readonly #exit: Promise<number | NodeJS.Signals>
  #onLine = () => {}

  constructor(command: string, args: readonly string[], options: { env?: NodeJS.ProcessEnv; cwd?: string } = {}) {
    this.#child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#exit = once(this.#child, 'close').then(([code, signal]) => code ?? signal)
    for (const output of [this.#child.stdout, this.#child.stderr]) if (output) this.#collect(output)
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** Resolves to the exit status, or the name of the signal that ended it, whenever that is. */
  get ended(): Promise<number | NodeJS.Signals> {
    return this.#exit
  }

  /** All it has printed, on both outputs. */
  get lines(): readonly string[] {
    return this.#lines
  }

  /** Waits for the first line that `read` makes something of. Rejects when the process ends or the time is up. */
  async line<T>(read: (line: string) => T | undefined, timeoutMs = 20_000): Promise<T> {
    const found = Promise.withResolvers<T>()
    let seen = 0
    this.#onLine = () => {
      for (; seen < this.#lines.length; seen++) {
        const value = read(this.#lines[seen] ?? '')
        if (value !== undefined) found.resolve(value)
      }
    }
    this.#onLine()
    const fail = (why: string) => found.reject(new Error(`${why}:\n${this.#lines.join('\n')}`))
    const timer = setTimeout(fail, timeoutMs, 'the line did not come')
    this.#exit.then((status) => fail(`the process ended with ${status}`), found.reject)
    return found.promise.finally(() => clearTimeout(timer))
  }

  /** Resolves to the exit status, or the name of the signal that ended it. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', timeoutMs = 20_000): Promise<number | NodeJS.Signals> {
    this.#child.kill(signal)
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), timeoutMs)
    return this.#exit.finally(() => clearTimeout(timer))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #collect(output: Readable): void {
    let rest = ''
    output.setEncoding('utf8').on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      this.#lines.push(...lines)
      this.#onLine()
    })
  }
}
