#!/usr/bin/env -S node --max-semi-space-size=2 --v8-pool-size=1 --heap-growing-percent=100 --no-memory-reducer
// The first flag has the buffers of passing bodies collected young: a third less memory in transfers of gigabytes. The
// second keeps V8 to one thread besides: of its four each takes a slice of 4 ms from hits where there is one processor.
// The third has a small heap grow to twice its size before all of it is marked: else the buffers of one fill cause that
// ten times a second. The fourth leaves out collections that shrink an idle heap by a few MB: hits beside the fills that
// follow one wait longer.
import { keepCompiled } from './commands/compile-cache.ts'

const usage = `Usage: cistern <command> [--config FILE] [--<key> VALUE …]

Commands:
  serve         run the cache
  check-config  print the configuration in effect, without secrets
  client-config say how a client is set up to pull through the cache; --write does it, --undo takes it back
  explain       say what is known of an image, and what a pull of it would do; --ask asks its upstream
  refresh       check now where a tag points
  ls            list what is cached; --images lists images
  stats         say what is stored, and what that spared upstreams
  purge         take an image or a repository out of the cache
  warm          fetch images before somebody pulls them: references, lists, Kubernetes manifests, Helm charts
  export        put what is cached into a bundle: --out FILE, or --out - for the standard output
  import        take a bundle in: a file, or - for the standard input; --name says where what has no name belongs
  keys          create, list and revoke access keys
  scrub         hash all that is stored, and mend what is damaged; --json reports in JSON
  healthcheck   ask a running instance whether it is ready
  version       print the version
  help          print this

Any key of the configuration that stands in no list is also a flag (--cache-max-size) and an environment variable
(CISTERN_CACHE_MAX_SIZE). Exit status: 0, 1 after a failure, 2 for wrong usage or configuration.
`

type Command = (args: readonly string[]) => Promise<number>

/** Loaded when they are asked for: the check of Node's version comes before anything that needs it. */
const commands = new Map<string, () => Promise<Command>>([
  ['serve', async () => (await import('./commands/serve.ts')).serve],
  ['check-config', async () => (await import('./commands/check-config.ts')).checkConfig],
  ['client-config', async () => (await import('./commands/client-config.ts')).clientConfig],
  ['healthcheck', async () => (await import('./commands/healthcheck.ts')).healthcheck],
  ['explain', async () => (await import('./commands/explain.ts')).explain],
  ['refresh', async () => (await import('./commands/refresh.ts')).refresh],
  ['ls', async () => (await import('./commands/ls.ts')).ls],
  ['stats', async () => (await import('./commands/stats.ts')).stats],
  ['purge', async () => (await import('./commands/purge.ts')).purge],
  ['warm', async () => (await import('./commands/warm.ts')).warming],
  ['export', async () => (await import('./commands/export.ts')).exporting],
  ['import', async () => (await import('./commands/import.ts')).importing],
  ['keys', async () => (await import('./commands/keys.ts')).keys],
  ['scrub', async () => (await import('./commands/scrub.ts')).scrub],
  ['version', async () => print((await import('./commands/version.ts')).version)],
  ['help', async () => print(usage.trimEnd())],
])

const oldestNode = 24

keepCompiled()

process.exitCode = await main(process.argv.slice(2))

async function main([name = '', ...args]: string[]): Promise<number> {
  if (Number.parseInt(process.versions.node, 10) < oldestNode) {
    process.stderr.write(`cistern: needs Node ${oldestNode} or later; this is ${process.versions.node}\n`)
    return 1
  }
  const load = commands.get(name === '--help' || name === '-h' ? 'help' : name === '--version' ? 'version' : name)
  if (!load) {
    process.stderr.write(name === '' ? usage : `cistern: there is no command ${name}; cistern help lists them\n`)
    return 2
  }
  const [command, { ConfigError }] = [await load(), await import('./config.ts')]
  if (name !== 'serve') process.stdout.on('error', endWhenUnread)
  try {
    return await command(args)
  } catch (error) {
    const faults = error instanceof ConfigError ? error.faults : [(error as Error).message]
    for (const fault of faults) process.stderr.write(`cistern: ${fault}\n`)
    return error instanceof ConfigError ? 2 : 1
  }
}

/** Who reads no further, as `head` does, has seen enough. */
function endWhenUnread({ code }: NodeJS.ErrnoException): void {
  process.exit(code === 'EPIPE' ? 0 : 1)
}

function print(text: string): Command {
  return async () => {
    process.stdout.write(`${text}\n`)
    return 0
  }
}
