import { copyFile, mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ContainerStorage } from '../support/container-storage.ts'
import { root } from '../support/paths.ts'
import { run } from '../support/process.ts'

/**
 * Builds the Dockerfile into `storage`, its base pulled through the storage's mirror. npm takes what this machine's
 * cache has, by an npmrc that the build is given as a secret.
 */
export async function buildImage(storage: ContainerStorage, name: string): Promise<void> {
  const cache = await filledCache()
  const registry = await npm('config', 'get', 'registry')
  const npmrc = join(storage.directory, 'npmrc')
  await writeFile(npmrc, `cache=/npm-cache\noffline=true\nregistry=${registry}\n`)
  const packages = ['--secret', `id=npmrc,src=${npmrc}`, '--volume', `${cache}:/npm-cache`]
  const options = ['--isolation', 'chroot', '--format', 'docker', '--quiet', ...storage.policy]
  await storage.run('buildah', 'bud', ...options, ...packages, '--tag', name, root)
}

/** npm's cache on this machine, once it has what the product depends on. */
async function filledCache(): Promise<string> {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'cistern-packages-'))
  for (const file of ['package.json', 'package-lock.json', '.npmrc']) {
    await copyFile(join(root, file), join(directory.path, file))
  }
  const options = ['--omit=dev', '--omit=optional', '--ignore-scripts', '--prefer-offline']
  await run('npm', ['ci', ...options], { cwd: directory.path })
  return npm('config', 'get', 'cache')
}

async function npm(...args: string[]): Promise<string> {
  const { stdout } = await run('npm', args)
  return stdout.trim()
}
