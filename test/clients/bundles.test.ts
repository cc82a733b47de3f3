import { join } from 'node:path'
import { expect, it } from 'vitest'
import { ruleFor, startCistern } from '../support/cistern.ts'
import { command } from '../support/command.ts'
import { debianImageTools, pushDebianImage } from '../support/debian-image.ts'
import { makeIndex, sha256 } from '../support/images.ts'
import { run } from '../support/process.ts'
import { push } from '../support/push.ts'
import { registryTools, startRegistry } from '../support/registry.ts'
import { requireTool } from '../support/tools.ts'
import { withTools } from '../support/with-tools.ts'
import { startContainerd } from './containerd.ts'
import { skopeoCopy } from './skopeo.ts'

const tools = ['skopeo', 'containerd', 'ctr', ...debianImageTools, ...registryTools] as const

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
})
