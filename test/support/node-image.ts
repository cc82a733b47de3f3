import { chmod, copyFile, cp, mkdir, mkdtempDisposable, realpath, rename, rm, symlink } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import { cacheDirectory } from './paths.ts'
import { run } from './process.ts'
import type { TestRegistry } from './registry.ts'
import { requireTool } from './tools.ts'

export const nodeImageTools = ['busybox', 'umoci', 'skopeo'] as const

/**
 * Pushes an image with Node and npm at the places that they have in Docker's `node`: this machine's own, the libraries
 * that Node needs, and busybox for a shell. It is built once and kept.
 */
export async function pushNodeImage(registry: TestRegistry, repository: string, tag: string): Promise<void> {
  const layout = join(cacheDirectory, 'images', `node-${process.versions.node}`)
  const target = `docker://${registry.proxy.host}/${repository}:${tag}`
  const push = () => {
    const options = ['--insecure-policy', 'copy', '--quiet', '--dest-tls-verify=false']
    return run(requireTool('skopeo'), [...options, `oci:${layout}:latest`, target])
  }
  await push().catch(async () => {
    await build(layout)
    await push()
  })
  registry.proxy.forget()
}

async function build(layout: string): Promise<void> {
  const images = join(cacheDirectory, 'images')
  await mkdir(images, { recursive: true })
  await using directory = await mkdtempDisposable(join(images, 'draft-'))
  const [draft, root] = [join(directory.path, 'layout'), join(directory.path, 'root')]
  await fill(root)
  const image = ['--image', `${draft}:latest`]
  const umoci = (...args: string[]) => run(requireTool('umoci'), args)
  await umoci('init', '--layout', draft)
  await umoci('new', ...image)
  await umoci('insert', ...image, root, '/')
  await umoci('config', ...image, '--config.env', 'PATH=/usr/local/bin:/usr/bin:/bin')
  await rm(layout, { recursive: true, force: true })
  await rename(draft, layout)
}

async function fill(root: string): Promise<void> {
  const inside = (path: string) => join(root, path)
  const folders = ['bin', 'dev', 'etc', 'proc', 'root', 'sys', 'tmp', 'usr/bin', 'usr/local/bin', 'var/lib']
  for (const folder of folders) await mkdir(inside(folder), { recursive: true })
  await chmod(inside('tmp'), 0o1777)
  await copyFile(requireTool('busybox'), inside('bin/busybox'))
  for (const name of ['sh', 'rm', 'mkdir', 'chown']) await symlink('busybox', inside(`bin/${name}`))
  await symlink('/bin/busybox', inside('usr/bin/env'))
  await copyFile(process.execPath, inside('usr/local/bin/node'))
  const { stdout } = await run('ldd', [process.execPath])
  for (const [library] of stdout.matchAll(/\/\S+/g)) {
    await mkdir(inside(dirname(library)), { recursive: true })
    await copyFile(library, inside(library))
  }
  await cp(await findNpm(), inside('usr/local/lib/node_modules/npm'), { recursive: true, verbatimSymlinks: true })
  await symlink('../lib/node_modules/npm/bin/npm-cli.js', inside('usr/local/bin/npm'))
}

/** The folder of the npm package. */
async function findNpm(): Promise<string> {
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    const program = await realpath(join(directory, 'npm')).catch(() => undefined)
    if (program) return dirname(dirname(program))
  }
  throw new Error('npm is not on PATH')
}
