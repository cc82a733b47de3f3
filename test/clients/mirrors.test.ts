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
  'podman, by prefix': podmanPull,
  'buildah, by prefix': buildahPull,
  'containerd, by ns': (image, host) => containerdFetch(image, host, 'namespace'),
  'containerd, by prefix': (image, host) => containerdFetch(image, host, 'prefix'),
  'containerd, by path': (image, host) => containerdFetch(image, host, 'path'),
}

/** Pulls each image with each client, one after the other; by client and image, the digest it came to have there. */
async function pullAll(images: string[], host: string): Promise<Record<string, string>> {
  const digests: Record<string, string> = {}
  for (const [client, pull] of Object.entries(clients)) {
    for (const image of images) digests[`${client}: ${image}`] = await pull(`docker.io/library/${image}`, host)
  }
  return digests
}

const tools = ['podman', 'buildah', 'containerd', 'ctr', ...debianImageTools, ...registryTools] as const

withTools(...tools)('clients that mirror docker.io', () => {
  it('H116: pull the same through every shape of name, by one transfer, and again from a sealed Cistern', async () => {
    await using registry = await startRegistry()
    await using cistern = await startCistern({
      rules: [ruleFor(registry, { prefix: 'docker.io', tagTtl: '0' })],
    })
    const index = makeIndex({ seed: 'mirrors' })
    await push(registry, 'library/tour', 'v1', index)
    const busybox = await pushDebianImage(registry, 'library/busybox', 'v1')

    const open = await pullAll(['tour:v1', 'busybox:v1'], cistern.host)
    const blobRequests = registry.proxy.seen.filter(({ path }) => path.includes('/blobs/'))
    await registry.proxy.switchOff()
    await cistern.restart()
    const sealed = await pullAll(['tour:v1', 'busybox:v1', `tour@${index.digest}`], cistern.host)

    // buildah tells the digest of what it chose from an index.
    const tour = (client: string) => (client.startsWith('buildah') ? index.children[0]?.digest : index.digest)
    for (const client of Object.keys(clients)) {
      expect(open).toMatchObject({ [`${client}: tour:v1`]: tour(client), [`${client}: busybox:v1`]: busybox })
      expect(sealed).toMatchObject({ [`${client}: tour:v1`]: tour(client), [`${client}: busybox:v1`]: busybox })
      expect(sealed[`${client}: tour@${index.digest}`]).toBe(tour(client))
    }
    expect(new Set(blobRequests.map(({ method }) => method))).toEqual(new Set(['GET']))
    expect(new Set(blobRequests.map(({ path }) => path)).size).toBe(blobRequests.length)
  }, 90_000)
})
