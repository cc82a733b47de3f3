import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { stringify } from 'yaml'
import manifest from '../../package.json' with { type: 'json' }
import { podmanPull } from '../clients/containers.ts'
import { type CisternProcess, ruleFor, startCistern } from '../support/cistern.ts'
import { ContainerStorage } from '../support/container-storage.ts'
import { debianImageTools, pushDebianImage } from '../support/debian-image.ts'
import { nodeImageTools, pushNodeImage } from '../support/node-image.ts'
import { registryTools, startRegistry, type TestRegistry } from '../support/registry.ts'
import { withTools } from '../support/with-tools.ts'
import { buildImage } from './build-image.ts'
import { unitProfile } from './system-calls.ts'

const image = 'localhost/cistern:test'

type Config = {
  Cmd: string[]
  Entrypoint: string[]
  Labels: Record<string, string>
  User: string
  Volumes: Record<string, object>
}

withTools(
  'podman',
  'buildah',
  'runc',
  'systemd-analyze',
  ...nodeImageTools,
  ...debianImageTools,
  ...registryTools,
)('the image', () => {
  const resources = new AsyncDisposableStack()
  let registry: TestRegistry
  let cistern: CisternProcess
  let storage: ContainerStorage

  beforeAll(async () => {
    registry = resources.use(await startRegistry())
    cistern = resources.use(await startCistern({ rules: [ruleFor(registry, { prefix: 'docker.io' })] }))
    storage = resources.use(await ContainerStorage.open(cistern.host))
    await pushNodeImage(registry, 'library/node', '26-slim')
    await buildImage(storage, image)
  }, 120_000)

  afterAll(() => resources.disposeAsync())

  const inspect = async <T>(part: string): Promise<T> => {
    const { stdout } = await storage.run('podman', 'image', 'inspect', '--format', `{{json .${part}}}`, image)
    return JSON.parse(stdout)
  }

  it('is built on a base that Cistern fetched once, and keeps', async () => {
    const blobs = registry.proxy.count('GET', /^\/v2\/library\/node\/blobs\//)
    const manifests = registry.proxy.count('GET', /^\/v2\/library\/node\/manifests\//)
    await registry.proxy.switchOff()
    await cistern.restart()
    await podmanPull('docker.io/library/node:26-slim', cistern.host)
    await registry.proxy.switchOn()

    expect({ blobs, manifests }).toEqual({ blobs: 2, manifests: 1 })
  }, 60_000)

  it('holds the product, its dependencies and no trace of where they came from', async () => {
    const { stdout } = await storage.run('podman', 'image', 'mount', image)
    const list = (path: string) => readdir(join(stdout.trim(), path))
    const product = ['.npmrc', 'LICENSE', 'node_modules', 'package-lock.json', 'package.json', 'src']
    expect((await list('opt/cistern')).sort()).toEqual(product)
    const packages = (await list('opt/cistern/node_modules')).filter((name) => !/^[.@]/.test(name))
    expect(packages).toEqual(expect.arrayContaining(Object.keys(manifest.dependencies).filter((n) => !n.includes('/'))))
    for (const name of Object.keys({ ...manifest.devDependencies, ...manifest.optionalDependencies })) {
      expect(packages).not.toContain(name)
    }
    expect(await list('opt/cistern/node_modules')).not.toContain('.package-lock.json')
    for (const path of ['root', 'tmp', 'run/secrets']) expect(await list(path), path).toEqual([])
  })

  it('says what it is, and what it runs', async () => {
    const { Entrypoint, Cmd, Labels, User, Volumes } = await inspect<Config>('Config')
    const flags = manifest.scripts.start.match(/--\S+/g) ?? []
    expect([...Entrypoint, ...Cmd]).toEqual(['node', ...flags, '/opt/cistern/src/main.ts', 'serve'])
    expect({ User, Volumes }).toEqual({ User: '1000:1000', Volumes: { '/var/lib/cistern': {} } })
    expect(Labels).toMatchObject({
      'org.opencontainers.image.version': manifest.version,
      'org.opencontainers.image.licenses': manifest.license,
      'org.opencontainers.image.description': manifest.description,
      'org.opencontainers.image.base.name': 'docker.io/library/node:26-slim',
    })
  })

  it('needs the mode of access stated, since it listens beyond loopback', async () => {
    await using container = storage.start(...confined, image)
    expect(await container.line((line) => (line.includes('auth.mode') ? line : undefined))).toContain('CISTERN_LISTEN')
    expect(await container.ended).toBe(2)
  }, 30_000)

  it('serves a pull as nobody, with a read-only root, no capability and no more system calls than the unit allows', async () => {
    const busybox = await pushDebianImage(registry, 'library/busybox', 'v1')
    const [config, profile] = ['cistern.yaml', 'seccomp.json'].map((name) => join(storage.directory, name))
    const rules = [ruleFor(registry, { prefix: 'docker.io' })]
    await writeFile(config ?? '', stringify({ auth: { mode: 'open' }, builtinRules: false, rules }))
    await writeFile(profile ?? '', await unitProfile())
    const loopback = ['--env', 'CISTERN_LISTEN=127.0.0.1:0', '--env', 'CISTERN_ADMIN_LISTEN=127.0.0.1:0']
    const mounts = ['--volume', `${config}:/etc/cistern.yaml:ro`, '--env', 'CISTERN_CONFIG=/etc/cistern.yaml']
    const options = [...confined, '--security-opt', `seccomp=${profile}`, ...loopback, ...mounts]
    await using container = storage.start('--name', 'cistern', ...options, image)
    const { url, adminUrl } = await container.line(listening, 30_000)

    expect(await podmanPull('docker.io/library/busybox:v1', new URL(url).host)).toBe(busybox)

    const [kind, ...healthcheck] = (await inspect<{ Test: string[] }>('HealthCheck')).Test
    expect(kind).toBe('CMD')
    const admin = `CISTERN_ADMIN_LISTEN=${new URL(adminUrl).host}`
    await storage.run('podman', 'exec', '--env', admin, 'cistern', ...healthcheck)
    await expect(storage.run('podman', 'exec', 'cistern', 'mkdir', '/opt/more')).rejects.toThrow('Read-only')
    const filtered = storage.run('podman', 'exec', 'cistern', 'node', '-e', 'os.setPriority(5)')
    await expect(filtered).rejects.toThrow('returned EPERM')
    expect(await container.stop()).toBe(0)
  }, 60_000)
})

/** As tightly as a cluster would. Limits and health checks by timers are not for every sandbox that tests run in. */
const confined = [
  ...['--rm', '--read-only', '--network', 'host', '--cap-drop', 'all', '--security-opt', 'no-new-privileges'],
  ...['--no-healthcheck', '--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'],
]

function listening(line: string): { url: string; adminUrl: string } | undefined {
  return line.includes('"msg":"listening"') ? JSON.parse(line) : undefined
}
