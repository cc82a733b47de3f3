import { appendFile, mkdir, mkdtempDisposable, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, expect, it, onTestFinished } from 'vitest'
import { ruleFor, startCistern } from '../support/cistern.ts'
import { clientConfigured } from '../support/client-config.ts'
import { ContainerStorage } from '../support/container-storage.ts'
import { selfSigned } from '../support/faulty-certificate.ts'
import { makeImage, sha256 } from '../support/images.ts'
import { run } from '../support/process.ts'
import { push } from '../support/push.ts'
import { registryTools, startRegistry, type TestRegistry } from '../support/registry.ts'
import { requireTool } from '../support/tools.ts'
import { treeOf } from '../support/tree.ts'
import { withTools } from '../support/with-tools.ts'
import { containerdFetchBy } from './containerd.ts'

/** A home, and a machine in which somebody has set up clients already. */
let home: string
let machine: string

const theirs = 'server = "https://registry-1.docker.io"\n\n[host."http://127.0.0.1:9"]\n'

beforeEach(async () => {
  const temporary = await mkdtempDisposable(join(tmpdir(), 'cistern-set-up-'))
  onTestFinished(() => temporary.remove())
  home = join(temporary.path, 'home')
  machine = join(temporary.path, 'machine')
  await mkdir(join(home, '.config/containers'), { recursive: true })
  await writeFile(join(home, '.config/containers/policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}')
  await writeFile(join(home, 'auth.json'), '{}')
  await mkdir(join(machine, 'etc/containerd/certs.d/docker.io'), { recursive: true })
  await writeFile(join(machine, 'etc/containerd/certs.d/docker.io/hosts.toml'), theirs, { mode: 0o600 })
})

type Fetch = (image: string) => Promise<string>

const byContainerd: Fetch = (image) => containerdFetchBy(image, join(machine, 'etc/containerd/certs.d'))

const byPodman: Fetch = async (image) => {
  await using storage = await ContainerStorage.of(home)
  await storage.run('podman', 'pull', '--quiet', image)
  return (await storage.run('podman', 'image', 'inspect', '--format', '{{.Digest}}', image)).stdout.trim()
}

const byBuildah: Fetch = async (image) => {
  await using storage = await ContainerStorage.of(home)
  await storage.run('buildah', 'pull', '--quiet', image)
  const inspect = ['inspect', '--type', 'image', '--format', '{{.FromImageDigest}}', image]
  return (await storage.run('buildah', ...inspect)).stdout.trim()
}

const bySkopeo: Fetch = async (image) => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'cistern-skopeo-'))
  const env = { ...process.env, HOME: home, XDG_RUNTIME_DIR: home }
  await run(requireTool('skopeo'), ['copy', '--quiet', `docker://${image}`, `dir:${directory.path}/image`], { env })
  return sha256(await readFile(join(directory.path, 'image', 'manifest.json')))
}

const ofContainerd = () => ['containerd', '--root', machine]
const ofPodman = () => ['podman', '--user']

/** What was asked of a registry for blobs, each in the form `GET sha256:…`. */
const blobsAsked = ({ proxy }: TestRegistry) =>
  proxy.seen
    .filter(({ path }) => path.includes('/blobs/'))
    .map(({ method, path }) => `${method} ${path.split('/').at(-1)}`)

const tools = ['podman', 'buildah', 'skopeo', 'containerd', 'ctr', ...registryTools] as const

withTools(...tools)('clients that the command sets up', () => {
  it('H116: pull through the cache by what was written, and the machine is as it was when that is taken back', async () => {
    await using registry = await startRegistry()
    await using cistern = await startCistern({ rules: [ruleFor(registry, { prefix: 'docker.io', tagTtl: '1h' })] })
    const image = makeImage({ seed: 'set-up' })
    await push(registry, 'library/image', 'v1', image)
    const before = await treeOf(join(home, '..'))
    const of = ['--config', join(cistern.directory, 'cistern.yaml'), '--url', cistern.url]

    await clientConfigured(home, ...ofContainerd(), ...of, '--write')
    await clientConfigured(home, ...ofPodman(), ...of, '--write')
    const written = await treeOf(join(home, '..'))

    expect(await byContainerd('docker.io/library/image:v1')).toBe(image.digest)
    const asked = registry.proxy.seen.length
    expect(blobsAsked(registry).sort()).toEqual(image.blobs.map(({ digest }) => `GET ${digest}`).sort())
    for (const fetch of [byPodman, byBuildah, bySkopeo]) {
      expect(await fetch('docker.io/library/image:v1')).toBe(image.digest)
    }
    expect(registry.proxy.seen.length).toBe(asked)

    await clientConfigured(home, ...ofContainerd(), ...of, '--write')
    await clientConfigured(home, ...ofPodman(), ...of, '--write')
    expect(await treeOf(join(home, '..'))).toEqual(written)
    await clientConfigured(home, ...ofContainerd(), '--undo')
    await clientConfigured(home, ...ofPodman(), '--undo')
    expect(await treeOf(join(home, '..'))).toEqual(before)
    expect(before['machine/etc/containerd/certs.d/docker.io/hosts.toml']).toMatchObject({
      content: theirs,
      mode: 0o600,
    })
  }, 120_000)

  it('H116: reach a rule below a registry by the path, another by its upstream, and fall back where they may', async () => {
    await using registry = await startRegistry()
    await using team = await startRegistry()
    await using lab = await startRegistry()
    await using cistern = await startCistern({
      rules: [
        ruleFor(registry, { prefix: 'docker.io' }),
        ruleFor(team, { prefix: 'docker.io/team', upstreamRepositoryPrefix: 'theirs' }),
        ruleFor(lab, { prefix: 'lab' }),
      ],
    })
    const [ours, apart, labs] = ['ours', 'apart', 'labs'].map((seed) => makeImage({ seed }))
    if (!ours || !apart || !labs) throw new Error('three images are made')
    await push(registry, 'library/image', 'v1', ours)
    await push(team, 'theirs/image', 'v1', apart)
    await push(lab, 'image', 'v1', labs)
    const of = ['--config', join(cistern.directory, 'cistern.yaml'), '--url', cistern.url, '--write']
    const labImage = `${lab.proxy.host}/image:v1`
    await clientConfigured(home, ...ofContainerd(), ...of, '--no-fallback')
    await clientConfigured(home, ...ofPodman(), ...of, '--no-fallback')
    for (const fetch of [byContainerd, byPodman]) {
      expect(await fetch('docker.io/library/image:v1')).toBe(ours.digest)
      expect(await fetch('docker.io/team/image:v1')).toBe(apart.digest)
      expect(await fetch(labImage)).toBe(labs.digest)
    }
    expect(blobsAsked(lab).length).toBe(labs.blobs.length)

    await cistern.stop()
    lab.proxy.forget()
    for (const fetch of [byContainerd, byPodman]) await expect(fetch(labImage)).rejects.toThrow(/refused/)
    expect(lab.proxy.seen).toEqual([])
    await clientConfigured(home, ...ofContainerd(), ...of)
    await clientConfigured(home, ...ofPodman(), ...of)
    for (const fetch of [byContainerd, byPodman]) expect(await fetch(labImage)).toBe(labs.digest)
  }, 120_000)

  it('H116: trust an authority that is named, by a copy of its certificate', async () => {
    const { cert, key } = selfSigned()
    await writeFile(join(home, 'tls.crt'), cert)
    await writeFile(join(home, 'tls.key'), key, { mode: 0o600 })
    await using registry = await startRegistry()
    const tls = { certFile: join(home, 'tls.crt'), keyFile: join(home, 'tls.key') }
    await using cistern = await startCistern({
      rules: [ruleFor(registry, { prefix: 'docker.io' })],
      config: { tls: { ...tls, clientCaFile: tls.certFile } },
    })
    const image = makeImage({ seed: 'tls' })
    await push(registry, 'library/image', 'v1', image)
    const identity = ['--ca', 'tls.crt', '--client-cert', 'tls.crt', '--client-key', 'tls.key']
    const of = ['--config', join(cistern.directory, 'cistern.yaml'), '--url', cistern.url, ...identity, '--write']
    await clientConfigured(home, ...ofContainerd(), ...of)
    await clientConfigured(home, ...ofPodman(), ...of)

    for (const fetch of [byContainerd, byPodman, bySkopeo]) {
      expect(await fetch('docker.io/library/image:v1')).toBe(image.digest)
      expect(await fetch(`${cistern.host}/docker.io/library/image:v1`)).toBe(image.digest)
    }
    expect(blobsAsked(registry).length).toBe(image.blobs.length)
  }, 120_000)

  it('H116: log in as the command says', async () => {
    const password = 'a-password'
    await run(requireTool('htpasswd'), ['-Bci', '-C', '5', join(home, 'users'), 'someone'], { input: password })
    await using registry = await startRegistry()
    await using cistern = await startCistern({
      rules: [ruleFor(registry, { prefix: 'docker.io' })],
      config: { auth: { mode: 'required', htpasswd: { file: join(home, 'users') } } },
    })
    const image = makeImage({ seed: 'login' })
    await push(registry, 'library/image', 'v1', image)
    const of = ['--config', join(cistern.directory, 'cistern.yaml'), '--url', cistern.url, '--no-fallback', '--write']
    const said = await clientConfigured(home, ...ofContainerd(), ...of, '--json')
    await clientConfigured(home, ...ofPodman(), ...of)
    for (const fetch of [byContainerd, byPodman]) {
      await expect(fetch('docker.io/library/image:v1')).rejects.toThrow(/nauthorized/)
    }

    const note = (JSON.parse(said).notes as string[]).find((each) => each.includes('login')) ?? ''
    const header = note.slice(note.indexOf('\n')).replace('…', Buffer.from(`someone:${password}`).toString('base64'))
    await appendFile(join(machine, 'etc/containerd/certs.d/docker.io/hosts.toml'), `${header}\n`)
    const login = ['login', '--authfile', join(home, 'auth.json'), '--username', 'someone', '--password-stdin']
    await run(requireTool('podman'), [...login, cistern.host], { input: password, env: { ...process.env, HOME: home } })

    for (const fetch of [byContainerd, byPodman]) {
      expect(await fetch('docker.io/library/image:v1')).toBe(image.digest)
    }
  }, 120_000)
})
