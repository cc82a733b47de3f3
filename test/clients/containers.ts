import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from '../support/process.ts'
import { requireTool } from '../support/tools.ts'
import { writeRecipe } from './recipe.ts'

/** Pulls `image` into an empty storage through the mirror at `host`; resolves to the digest it has there. */
export type Pull = (image: string, host: string) => Promise<string>

export const podmanPull: Pull = (image, host) =>
  inStorage(host, async (storage, policy, env) => {
    const podman = (...args: string[]) => run(requireTool('podman'), [...storage, ...args], { env })
    await podman('pull', '--quiet', '--signature-policy', policy, image)
    const { stdout } = await podman('image', 'inspect', '--format', '{{.Digest}}', image)
    return stdout.trim()
  })

export const buildahPull: Pull = (image, host) =>
  inStorage(host, async (storage, policy, env) => {
    const buildah = (...args: string[]) => run(requireTool('buildah'), [...storage, ...args], { env })
    await buildah('pull', '--quiet', '--signature-policy', policy, image)
    const { stdout } = await buildah('inspect', '--type', 'image', '--format', '{{.FromImageDigest}}', image)
    return stdout.trim()
  })

type Work = (storage: string[], policy: string, env: NodeJS.ProcessEnv) => Promise<string>

async function inStorage(host: string, work: Work): Promise<string> {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'cistern-containers-'))
  const { path } = directory
  const registries = await writeRecipe('containers/registries.conf', host, join(path, 'registries.conf'))
  const policy = join(path, 'policy.json')
  await writeFile(policy, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }))
  const storage = ['--root', join(path, 'root'), '--runroot', join(path, 'run'), '--storage-driver', 'vfs']
  const homes = { HOME: path, XDG_RUNTIME_DIR: path, TMPDIR: path }
  return await work(storage, policy, { ...process.env, ...homes, CONTAINERS_REGISTRIES_CONF: registries })
}
