import { ContainerStorage } from '../support/container-storage.ts'

/** Pulls `image` into an empty storage through the mirror at `host`; resolves to the digest it has there. */
export type Pull = (image: string, host: string) => Promise<string>

export const podmanPull: Pull = async (image, host) => {
  await using storage = await ContainerStorage.open(host)
  await storage.run('podman', 'pull', '--quiet', ...storage.policy, image)
  const { stdout } = await storage.run('podman', 'image', 'inspect', '--format', '{{.Digest}}', image)
  return stdout.trim()
}

export const buildahPull: Pull = async (image, host) => {
  await using storage = await ContainerStorage.open(host)
  await storage.run('buildah', 'pull', '--quiet', ...storage.policy, image)
  const inspect = ['inspect', '--type', 'image', '--format', '{{.FromImageDigest}}', image]
  const { stdout } = await storage.run('buildah', ...inspect)
  return stdout.trim()
}
