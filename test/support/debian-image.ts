import { mkdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheDirectory } from './paths.ts'
import { run } from './process.ts'
import type { TestRegistry } from './registry.ts'
import { requireTool } from './tools.ts'

export const debianImageTools = ['busybox', 'umoci', 'skopeo'] as const

/**
 * Pushes an image that holds the busybox of a Debian package to an open registry; resolves to the digest it has. It
 * is built once and kept.
 */
export async function pushDebianImage(registry: TestRegistry, repository: string, tag: string): Promise<string> {
  const layout = join(cacheDirectory, 'images', 'busybox')
  const digest = await digestOf(layout).catch(() => build(layout))
  const target = `docker://${registry.proxy.host}/${repository}:${tag}`
  const options = ['--insecure-policy', 'copy', '--quiet', '--dest-tls-verify=false', '--preserve-digests']
  await run(requireTool('skopeo'), [...options, `oci:${layout}:latest`, target])
  registry.proxy.forget()
  return digest
}

async function build(layout: string): Promise<string> {
  const draft = `${layout}.${process.pid}`
  const image = ['--image', `${draft}:latest`]
  const umoci = (...args: string[]) => run(requireTool('umoci'), args)
  await mkdir(join(cacheDirectory, 'images'), { recursive: true })
  await rm(draft, { recursive: true, force: true })
  await umoci('init', '--layout', draft)
  await umoci('new', ...image)
  await umoci('insert', ...image, requireTool('busybox'), '/bin/busybox')
  await umoci('config', ...image, '--config.entrypoint', '/bin/busybox', '--architecture', 'amd64', '--os', 'linux')
  // Another run may have built it meanwhile: the first stays.
  await rename(draft, layout).catch(() => rm(draft, { recursive: true }))
  return digestOf(layout)
}

async function digestOf(layout: string): Promise<string> {
  const index = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as { manifests: { digest: string }[] }
  const [manifest] = index.manifests
  if (!manifest) throw new Error(`${layout} holds no image`)
  return manifest.digest
}
