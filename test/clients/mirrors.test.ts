import { expect, it } from 'vitest'
import { ruleFor, startCistern } from '../support/cistern.ts'
import { debianImageTools, pushDebianImage } from '../support/debian-image.ts'
import { makeIndex } from '../support/images.ts'
import { push } from '../support/push.ts'
import { registryTools, startRegistry } from '../support/registry.ts'
import { withTools } from '../support/with-tools.ts'
import { containerdFetch } from './containerd.ts'
import { buildahPull, type Pull, podmanPull } from './containers.ts'

const clients: Record<string, Pull> = {
  'podman (registries.conf, prefix)': podmanPull,
  'buildah (registries.conf, prefix)': buildahPull,
  'containerd (hosts.toml, ns)': (image, host) => containerdFetch(image, host, 'containerd/hosts.toml'),
  'containerd (hosts.toml, prefix)': (image, host) => containerdFetch(image, host, 'containerd/hosts-prefix.toml'),
  'containerd (hosts.toml, path)': (image, host) => containerdFetch(image, host, 'containerd/hosts-path.toml'),
}

const tools = ['podman', 'buildah', 'containerd', 'ctr', ...debianImageTools, ...registryTools] as const

withTools(...tools)('clients that mirror docker.io', () => {
  it('pull one image through every shape of name, and again from a sealed Cistern', async () => {
    await using registry = await startRegistry()
    await using cistern = await startCistern({
      rules: [ruleFor(registry, { prefix: 'docker.io', tagTtl: '0' })],
    })
    const index = makeIndex({ seed: 'mirrors' })
    await push(registry, 'library/tour', 'v1', index)
    const debian = await pushDebianImage(registry, 'library/busybox', 'v1')
    const pulled: Record<string, string[]> = {}
    const pullAll = async (round: string) => {
      for (const [client, pull] of Object.entries(clients)) {
        const digests = [
          await pull('docker.io/library/tour:v1', cistern.host),
          await pull('docker.io/library/busybox:v1', cistern.host),
        ]
        pulled[`${round}: ${client}`] = digests
      }
    }

    await pullAll('cold and warm')
    const blobs = registry.proxy.seen.filter(({ path }) => path.includes('/blobs/'))
    await registry.proxy.switchOff()
    await cistern.restart()
    await pullAll('sealed')

    const rounds = Object.keys(clients).flatMap((client) => [`cold and warm: ${client}`, `sealed: ${client}`])
    expect(pulled).toEqual(Object.fromEntries(rounds.map((round) => [round, [index.digest, debian]])))
    expect(blobs.map(({ method }) => method)).toEqual(blobs.map(() => 'GET'))
    expect(new Set(blobs.map(({ path }) => path)).size).toBe(blobs.length)
  }, 90_000)
})
