import { mkdir, mkdtempDisposable, readdir, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { containerdFetchBy } from '../clients/containerd.ts'
import { ruleFor, startCistern } from '../support/cistern.ts'
import { eventually } from '../support/eventually.ts'
import { makeImage } from '../support/images.ts'
import { root } from '../support/paths.ts'
import { Service } from '../support/process.ts'
import { pushImage } from '../support/push.ts'
import { registryTools, startRegistry } from '../support/registry.ts'
import { withTools } from '../support/with-tools.ts'

const script = join(root, 'helm', 'files', 'node-configuration.mts')
const own = 'server = "https://somewhere.example"\n'

let directory: string

/** Two registries: one configured by the owner of the node, one not. */
beforeEach(async () => {
  const temporary = await mkdtempDisposable(join(tmpdir(), 'cistern-certs-'))
  onTestFinished(() => temporary.remove())
  directory = temporary.path
  await mkdir(join(directory, 'quay.io'))
  await writeFile(join(directory, 'quay.io', 'hosts.toml'), own)
})

const configure = (host: string) => {
  const [name = '', port = ''] = host.split(':')
  const node = { DIRECTORY: directory, REGISTRIES: 'docker.io,quay.io', MIRROR_HOST: name, MIRROR_PORT: port }
  return new Service(process.execPath, [script], { env: { PATH: process.env.PATH, ...node, INTERVAL_MS: '50' } })
}

const told = (what: string) => (line: string) => line.includes(`"${what}`) || undefined
const read = (path: string) => readFile(join(directory, path), 'utf8')

const everything = async () => {
  const files = await readdir(directory, { recursive: true, withFileTypes: true })
  const names = files.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await readFile(name, 'utf8')])))
}

describe('the configuration of a node', () => {
  it('points to the cache while it answers, and is as it was when the cache or the chart is gone', async () => {
    const before = await everything()
    await using cistern = await startCistern({ rules: [] })
    await using node = configure(cistern.host)

    await node.line(told('in use'))
    expect(await read('docker.io/hosts.toml')).toContain(`[host."${cistern.url}"]`)
    expect(await read('docker.io/hosts.toml')).toContain('server = "https://registry-1.docker.io"')
    expect(await read('quay.io/hosts.toml')).toContain('server = "https://quay.io"')

    await cistern.kill()
    await node.line(told('given up'))
    expect(await everything()).toEqual(before)
    expect(await readdir(directory)).toEqual(['quay.io'])
    expect(await node.stop()).toBe(0)
    expect(await everything()).toEqual(before)
  })

  it('is given back when the chart is removed, by whoever comes after a kill, and for other registries too', async () => {
    const before = await everything()
    await using cistern = await startCistern({ rules: [] })
    await using killed = configure(cistern.host)
    await killed.line(told('in use'))
    await killed.stop('SIGKILL')
    await mkdir(join(directory, 'ghcr.io'))
    const stale = (await read('docker.io/hosts.toml')).replace('registry-1.docker.io', 'ghcr.io')
    await writeFile(join(directory, 'ghcr.io', 'hosts.toml'), stale)

    await using next = configure(cistern.host)
    await next.line(told('in use'))
    expect(await next.stop()).toBe(0)

    expect(await everything()).toEqual(before)
  })

  it('takes what somebody else writes meanwhile for what has to be kept', async () => {
    await using cistern = await startCistern({ rules: [] })
    await using node = configure(cistern.host)
    await node.line(told('in use'))
    await writeFile(join(directory, 'quay.io', 'hosts.toml'), '# newer')
    await eventually(async () => expect(await read('quay.io/hosts.toml')).toContain(cistern.url))

    expect(await node.stop()).toBe(0)

    expect(await everything()).toEqual({ [join(directory, 'quay.io', 'hosts.toml')]: '# newer' })
  })

  it('is never written for a cache that does not answer', async () => {
    const before = await everything()
    await using cistern = await startCistern({ rules: [] })
    await cistern.kill()
    await using node = configure(cistern.host)

    await node.line(told('given up'))
    expect(await everything()).toEqual(before)
  })
})

withTools(
  'containerd',
  'ctr',
  ...registryTools,
)('containerd, by the configuration of a node', () => {
  it('pulls through the cache', async () => {
    await using registry = await startRegistry()
    await using cistern = await startCistern({ rules: [ruleFor(registry, { prefix: 'docker.io' })] })
    const image = makeImage({ seed: 'node' })
    await pushImage({ url: registry.proxy.url }, 'library/image', 'v1', image)
    await using node = configure(cistern.host)
    await node.line(told('in use'))

    expect(await containerdFetchBy('docker.io/library/image:v1', directory)).toBe(image.digest)
  })
})
