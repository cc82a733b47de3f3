import { readFile } from 'node:fs/promises'
import { cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { root } from '../test/support/paths.ts'
import { run } from '../test/support/process.ts'

/** What a reader needs to know in order to compare a run with another one. */
export type Machine = {
  processor: string
  processors: number
  memoryGiB: number
  kernel: string
  system: string
  /** By program, as each says itself. */
  versions: Record<string, string>
}

export async function describeMachine(): Promise<Machine> {
  const [first] = cpus()
  return {
    processor: first?.model.trim() ?? 'unknown',
    processors: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    system: await systemName(),
    versions: {
      Cistern: await commit(),
      Node: process.versions.node,
      nginx: await said('/usr/sbin/nginx', ['-v'], /nginx\/(\S+)/),
      'docker-registry': await said('docker-registry', ['--version'], /(\d\S+)/),
      wrk: await said('wrk', ['-v'], /wrk \S*?(\d\S*)/),
      autocannon: await packageVersion('autocannon'),
    },
  }
}

const systemName = async (): Promise<string> =>
  /^PRETTY_NAME="?([^"\n]*)/m.exec(await readFile('/etc/os-release', 'utf8').catch(() => ''))?.[1] ?? 'unknown'

/** With a mark where what runs is not what that commit has. */
async function commit(): Promise<string> {
  const git = async (...args: string[]) => (await run('git', ['-C', root, ...args])).stdout.trim()
  try {
    const changed = await git('status', '--porcelain', '--', 'src', 'package-lock.json')
    return `${await git('rev-parse', '--short', 'HEAD')}${changed ? ' with changes' : ''}`
  } catch {
    return 'unknown'
  }
}

/** Some print their version with a status of failure. */
async function said(command: string, args: readonly string[], pattern: RegExp): Promise<string> {
  const text = await run(command, args).then(
    ({ stdout, stderr }) => stdout + stderr,
    (error: Error) => error.message,
  )
  return pattern.exec(text)?.[1] ?? 'not installed'
}

async function packageVersion(name: string): Promise<string> {
  const text = await readFile(join(root, 'node_modules', name, 'package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
