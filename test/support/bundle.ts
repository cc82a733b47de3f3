import { mkdtempDisposable, readdir, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from './process.ts'

export type Bundle = {
  /** All paths of files, in their order. */
  paths: string[]
  index: { manifests: { digest: string; mediaType: string; annotations: Record<string, string> }[] }
  inventory: { images: Record<string, unknown>[]; blobs: Record<string, number>; base: Record<string, number> }
  /** By the digest that stands in the path. */
  blobs: Map<string, Buffer>
}

/** Reads a bundle with the tar of the system. */
export async function readBundle(path: string): Promise<Bundle> {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'cistern-bundle-'))
  const paths = (await run('tar', ['-tf', path])).stdout.trim().split('\n')
  await run('tar', ['-xf', path, '-C', directory.path])
  const read = (...names: string[]) => readFile(join(directory.path, ...names))
  const blobs = new Map<string, Buffer>()
  for (const algorithm of await readdir(join(directory.path, 'blobs')).catch(() => [])) {
    for (const hex of await readdir(join(directory.path, 'blobs', algorithm))) {
      blobs.set(`${algorithm}:${hex}`, await read('blobs', algorithm, hex))
    }
  }
  return {
    paths,
    index: JSON.parse((await read('index.json')).toString()),
    inventory: JSON.parse((await read('inventory.json')).toString()),
    blobs,
  }
}
