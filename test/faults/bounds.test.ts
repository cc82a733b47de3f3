import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { image } from '../support/faulty-upstream.ts'
import { fetchDigest } from '../support/http.ts'
import { Ground, type Site } from './ground.ts'

const MiB = 1024 * 1024

/** `CISTERN_TEST_BOUNDS=1024` pulls 5 GiB through a cache of 1 GiB. */
const maxSize = Number(process.env.CISTERN_TEST_BOUNDS ?? 64) * MiB
const layerSize = maxSize / 64
const images = 80

const tag = 'latest'

async function pull(site: Site, repository: string, layers: { digest: string }[]): Promise<string[]> {
  const manifest = await site.manifest(repository, tag)
  expect(manifest.status).toBe(200)
  const answers = await Promise.all(layers.map(({ digest }) => fetchDigest(site.url(`${repository}/blobs/${digest}`))))
  expect(answers.map(({ digest }) => digest)).toEqual(layers.map(({ digest }) => digest))
  return answers.map(({ headers }) => String(headers['cache-status']).split(';')[1]?.trim() ?? '')
}

/** Bytes of the files below, as far as they are there while one looks. */
async function bytesBelow(directory: string): Promise<number> {
  const files = await readdir(directory, { recursive: true, withFileTypes: true })
  const sizes = files.map(async (file) => {
    const stats = await lstat(join(file.parentPath, file.name)).catch(() => undefined)
    return stats?.isFile() ? stats.size : 0
  })
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
}

it('five times what the cache may hold pulled through it: the bound holds, and what is in use stays', async () => {
  await using ground = await Ground.start({
    sites: 1,
    rule: { tagTtl: '1h' },
    config: { cache: { maxSize: String(maxSize), minFree: '0' } },
  })
  const site = ground.site()
  const hot = site.upstream.addImage('hot', tag, image({ layers: Array(4).fill(layerSize), seed: 'hot' }))
  const root = join(ground.cistern.dataDir, 'v1')
  let most = 0
  const watching = new AbortController()
  const watch = (async () => {
    while (!watching.signal.aborted) {
      most = Math.max(most, await bytesBelow(join(root, 'blobs')))
      await delay(20)
    }
  })()
  for (let number = 0; number < images; number++) {
    const repository = `app${number}`
    const { layers } = site.upstream.addImage(
      repository,
      tag,
      image({ layers: Array(4).fill(layerSize), seed: repository }),
    )
    await pull(site, repository, layers)
    await pull(site, 'hot', hot.layers)
  }
  watching.abort()
  await watch

  expect(most).toBeGreaterThan(maxSize / 2)
  expect(most).toBeLessThanOrEqual(maxSize)
  expect(await bytesBelow(join(root, 'ingest'))).toBe(0)
  const asked = site.upstream.requests('GET', 'blob').length
  expect(await pull(site, 'hot', hot.layers)).toEqual(hot.layers.map(() => 'hit'))
  expect(site.upstream.requests('GET', 'blob')).toHaveLength(asked)
  expect(asked).toBe((images + 1) * 4)
}, 300_000)
