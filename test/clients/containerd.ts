import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually } from '../support/eventually.ts'
import { run, Service } from '../support/process.ts'
import { requireTool } from '../support/tools.ts'
import { writeRecipe } from './recipe.ts'

/** How the name of a registry can come to a mirror. */
export type Shape = 'namespace' | 'prefix' | 'path'

const hosts: Record<Shape, string> = {
  namespace: '[host."$1"]',
  prefix: '[host."$1/v2/docker.io"]\n  override_path = true',
  path: '[host."$1/docker.io"]',
}

/**
 * Fetches what an image needs on amd64 into an empty containerd, by the recipe for docker.io with the mirror at `host`.
 * Resolves to the digest that the image has there.
 */
export async function containerdFetch(image: string, host: string, shape: Shape): Promise<string> {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'cistern-hosts-'))
  const file = await writeRecipe('containerd/hosts.toml', host, join(directory.path, 'docker.io', 'hosts.toml'))
  const recipe = await readFile(file, 'utf8')
  await writeFile(file, recipe.replace(/^\[host\."(.*)"\]$/m, hosts[shape]))
  return await containerdFetchBy(image, directory.path)
}

/** The same by a directory of hosts.toml files that stands already. */
export async function containerdFetchBy(image: string, hostsDirectory: string): Promise<string> {
  await using containerd = await startContainerd()
  const unpacking = ['--snapshotter', 'native'] // works on any file system
  const from = ['--hosts-dir', hostsDirectory, '--platform', 'linux/amd64']
  await containerd.ctr('images', 'pull', ...unpacking, ...from, image)
  return (await containerd.images()).get(image) ?? ''
}

/** An empty containerd of its own. Goes when disposed. */
export async function startContainerd() {
  await using starting = new AsyncDisposableStack()
  const { path } = starting.use(await mkdtempDisposable(join(tmpdir(), 'cistern-containerd-')))
  const socket = join(path, 'containerd.sock')
  const config = join(path, 'config.toml')
  await writeFile(config, configuration(path, socket))
  starting.use(new Service(requireTool('containerd'), ['--config', config]))
  const ctr = (...args: string[]) => run(requireTool('ctr'), ['--address', socket, ...args])
  await eventually(() => ctr('version'))
  const started = starting.move()
  return {
    ctr,
    /** The digests of its images, by name. */
    images: async () => {
      const { stdout } = await ctr('images', 'list')
      const rows = stdout.split('\n').map((row) => /^(\S+)\s+\S+\s+(sha256:[0-9a-f]{64})/.exec(row))
      return new Map(rows.flatMap((row) => (row ? [[row[1] ?? '', row[2] ?? ''] as const] : [])))
    },
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  }
}

/** Nothing that needs devices, cgroups or a network of containers. */
const configuration = (path: string, socket: string): string => `
version = 2
root = "${path}/root"
state = "${path}/state"
disabled_plugins = [
  "io.containerd.grpc.v1.cri",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing",
]
[grpc]
  address = "${socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "${path}/opt"
`
