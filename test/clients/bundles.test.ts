import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { Digest } from '../../src/oci/digest.ts'
import { readBundle } from '../support/bundle.ts'
import { type CisternProcess, ruleFor, startCistern } from '../support/cistern.ts'
import { command } from '../support/command.ts'
import { ContainerStorage } from '../support/container-storage.ts'
import { debianImageTools, pushDebianImage } from '../support/debian-image.ts'
import {
  blobOf,
  type FaultyUpstream,
  type ImageOptions,
  image as imageOf,
  manifestOf,
  startUpstream,
} from '../support/faulty-upstream.ts'
import { makeImage, makeIndex, sha256, type TestImage } from '../support/images.ts'
import { run } from '../support/process.ts'
import { push } from '../support/push.ts'
import { registryTools, startRegistry } from '../support/registry.ts'
import { requireTool } from '../support/tools.ts'
import { withTools } from '../support/with-tools.ts'
import { containerdFetch, startContainerd } from './containerd.ts'
import { podmanPull } from './containers.ts'
import { writeRecipe } from './recipe.ts'
import { skopeoCopy } from './skopeo.ts'

const tools = ['skopeo', 'podman', 'curl', 'containerd', 'ctr', ...debianImageTools, ...registryTools] as const

withTools(...tools)('a bundle', () => {
  it('is read by skopeo and containerd, each image by its whole name', async () => {
    await using registry = await startRegistry()
    await using cistern = await startCistern({ rules: [ruleFor(registry)] })
    const index = makeIndex({ seed: 'bundle' })
    const docker = makeIndex({ seed: 'docker', family: 'docker' })
    await push(registry, 'team/app', 'v1', index)
    await push(registry, 'team/docker', 'v1', docker)
    const busybox = await pushDebianImage(registry, 'library/busybox', '1.37')
    const digests = new Map([
      ['up.example/library/busybox:1.37', busybox],
      ['up.example/team/app:v1', index.digest],
      [`up.example/team/app@${index.children[0]?.digest}`, index.children[0]?.digest],
      ['up.example/team/docker:v1', docker.digest],
    ])
    for (const name of digests.keys()) await skopeoCopy(`${cistern.host}/${name}`, { all: true })
    const out = join(cistern.directory, 'bundle.tar')
    expect((await command(cistern, 'export', '--out', out, ...digests.keys())).status).toBe(0)

    await using containerd = await startContainerd()
    await containerd.ctr('images', 'import', '--all-platforms', '--no-unpack', out)
    expect(await containerd.images()).toEqual(digests)
    digests.delete('up.example/team/docker:v1') // skopeo reads no layouts with Docker's own media types
    for (const [name, digest] of digests) {
      const source = `oci-archive:${out}:${name}`
      const inspected = await run(requireTool('skopeo'), ['inspect', '--raw', source])
      expect(sha256(Buffer.from(inspected.stdout))).toBe(digest)
      expect((await skopeoCopy(source, { all: true })).digest).toBe(digest)
    }
  })

  it('may be of another tool, which names its images in full, or needs to be told where they belong', async () => {
    await using upstream = await startUpstream()
    const rules = [{ prefix: 'docker.io', upstream: upstream.url }]
    await using cistern = await startCistern({ rules })
    await using sealed = await startCistern({ rules, config: { offline: true } })
    const index = makeIndex({ seed: 'tools' })
    add(upstream, 'docker.io/library/tools:v1', index)
    const image = 'docker.io/library/tools:v1'
    const at = (name: string) => join(cistern.directory, name)
    const imported = async (name: string, ...args: string[]) => {
      const { status, stdout } = await command(sealed, 'import', '--json', at(name), ...args)
      return [
        status,
        stdout && JSON.parse(stdout).images.map(({ reference, state }: Record<string, string>) => [reference, state]),
      ]
    }
    const copy = async (target: string, ...options: string[]) => {
      const from = ['--src-tls-verify=false', `docker://${cistern.host}/${image}`]
      await run(requireTool('skopeo'), [
        '--insecure-policy',
        'copy',
        '--quiet',
        ...options,
        ...from,
        `oci-archive:${target}`,
      ])
    }

    await using containerd = await startContainerd()
    const hosts = join(cistern.directory, 'hosts')
    await writeRecipe('containerd/hosts.toml', cistern.host, join(hosts, 'docker.io', 'hosts.toml'))
    await containerd.ctr('content', 'fetch', '--hosts-dir', hosts, '--platform', 'linux/amd64', image)
    await containerd.ctr('images', 'export', '--platform', 'linux/amd64', at('ctr.tar'), image)
    expect(await imported('ctr.tar')).toEqual([1, [[image, 'incomplete']]])
    expect((await imported('ctr.tar', '--partial'))[0]).toBe(0)
    expect(await containerdFetch(image, sealed.host, 'namespace')).toBe(index.digest)

    await copy(`${at('full.tar')}:docker.io/team/full:v1`, '--all')
    expect(await imported('full.tar')).toEqual([0, [['docker.io/team/full:v1', 'whole']]])
    await copy(`${at('tag.tar')}:v1`)
    expect(await imported('tag.tar')).toEqual([1, ''])
    expect(await imported('tag.tar', '--name', 'docker.io/team/tag')).toEqual([0, [['docker.io/team/tag:v1', 'whole']]])
    await copy(at('none.tar'))
    const none = [`docker.io/team/none@${index.children[0]?.digest}`, 'whole']
    expect(await imported('none.tar', '--name', 'docker.io/team/none')).toEqual([0, [none]])

    await using storage = await ContainerStorage.open(cistern.host)
    await storage.run('podman', 'pull', '--quiet', ...storage.policy, image)
    await storage.run('podman', 'save', '--quiet', '--format', 'oci-archive', '--output', at('podman.tar'), image)
    expect(await imported('podman.tar')).toEqual([0, [[image, 'whole']]])
  }, 60_000)

  it('carries images across an air gap, and then what is new', async () => {
    await using upstream = await startUpstream()
    const rule = { prefix: 'docker.io', upstream: upstream.url, dialect: 'docker-hub' }
    await using online = await startCistern({ rules: [rule] })
    await using sealed = await startCistern({ rules: [rule], config: { offline: true } })
    const images = new Map([
      ['docker.io/library/multi:v1', makeIndex({ seed: 'multi' })],
      ['docker.io/library/docker:v1', makeIndex({ seed: 'docker', family: 'docker' })],
      ['docker.io/library/single:v1', makeImage({ seed: 'single', layers: 3 })],
      ['docker.io/team/app:v1', makeImage({ seed: 'single', layers: 4 })],
    ])
    for (const [name, image] of images) add(upstream, name, image)
    const multi = images.get('docker.io/library/multi:v1') as TestImage
    const sbom = artifact('sbom', { subject: descriptorOf(multi), artifactType: 'application/vnd.test.sbom' })
    upstream.addImage('library/multi', undefined, sbom)
    const tag = `${multi.digest.replace(':', '-')}.sig`
    const signature = upstream.addImage('library/multi', tag, artifact('signature'))
    const at = (name: string) => join(online.directory, name)
    await writeFile(at('images.txt'), [...images.keys()].map((name) => `${name} # ours\n`).join(''))

    expect((await command(online, 'warm', '--referrers', 'images.txt')).status).toBe(0)
    const asked = upstream.requests('GET').map(({ path }) => path)
    expect(new Set(asked).size).toBe(asked.length)
    upstream.forget()
    expect((await command(online, 'export', '--out', at('base.tar'), '--inventory', at('base.json'))).status).toBe(0)
    expect((await command(sealed, 'import', at('base.tar'))).status).toBe(0)
    await pullAll(sealed, images)
    expect((await skopeoCopy(`${sealed.host}/docker.io/library/multi:${tag}`)).digest).toBe(signature.digest)
    const { stdout } = await run('curl', ['-sf', `${sealed.url}/v2/docker.io/library/multi/referrers/${multi.digest}`])
    expect(JSON.parse(stdout).manifests).toMatchObject([
      { digest: sbom.digest, artifactType: 'application/vnd.test.sbom' },
    ])
    expect((await skopeoCopy(`${sealed.host}/docker.io/library/multi@${sbom.digest}`)).digest).toBe(sbom.digest)
    expect(upstream.log).toEqual([])

    const next = makeImage({ seed: 'new' })
    add(upstream, 'docker.io/library/new:v1', next)
    expect((await command(online, 'warm', 'images.txt', 'new:v1')).status).toBe(0)
    expect(upstream.requests('GET')).toHaveLength(1 + next.blobs.length)
    expect((await command(online, 'export', '--out', at('delta.tar'), '--since', at('base.json'))).status).toBe(0)
    const delta = await readBundle(at('delta.tar'))
    expect([...delta.blobs.keys()].sort()).toEqual(everything(next).sort())
    expect((await command(sealed, 'import', at('delta.tar'))).status).toBe(0)
    await pullAll(sealed, new Map([['docker.io/library/new:v1', next]]))
  }, 120_000)
})

/** With skopeo all of it, with podman and containerd what is for this machine, each by a mirror of docker.io. */
async function pullAll({ host }: CisternProcess, images: ReadonlyMap<string, TestImage>): Promise<void> {
  for (const [name, image] of images) {
    const copied = await skopeoCopy(`${host}/${name}`, { all: true })
    expect([copied.digest, [...copied.digests].sort()]).toEqual([image.digest, everything(image).sort()])
    expect(await podmanPull(name, host)).toBe(image.digest)
    expect(await containerdFetch(name, host, 'namespace')).toBe(image.digest)
  }
}

const everything = (image: TestImage): string[] => [
  image.digest,
  ...image.blobs.map(({ digest }) => digest),
  ...image.children.flatMap(everything),
]

const descriptorOf = ({ mediaType, digest, bytes }: TestImage) => ({
  mediaType,
  digest: digest as Digest,
  size: bytes.length,
})

const artifact = (seed: string, more: ImageOptions = {}) => imageOf({ seed, layers: [200], ...more })

/** Has an upstream hold an image, by the name that it has behind the prefix. */
function add(upstream: FaultyUpstream, name: string, image: TestImage): void {
  const [, repository = '', tag] = /^docker\.io\/(.*):(.*)$/.exec(name) ?? []
  addTo(upstream, repository, tag, image)
}

function addTo(upstream: FaultyUpstream, repository: string, tag: string | undefined, image: TestImage): void {
  for (const { bytes } of image.blobs) upstream.addBlob(repository, blobOf(bytes))
  for (const child of image.children) addTo(upstream, repository, undefined, child)
  upstream.addManifest(repository, tag, manifestOf(image.bytes.toString(), image.mediaType))
}
