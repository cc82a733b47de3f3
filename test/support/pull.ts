import { access } from 'node:fs/promises'
import { join } from 'node:path'
import type { CisternProcess } from './cistern.ts'
import { eventually } from './eventually.ts'
import type { Image, Index } from './faulty-upstream.ts'
import { fetchDigest } from './http.ts'

type Puller = Pick<CisternProcess, 'url' | 'dataDir'>

/** Where a blob is kept. */
export const blobFile = ({ dataDir }: Pick<CisternProcess, 'dataDir'>, digest: string): string =>
  join(dataDir, 'v1', 'blobs', 'sha256', digest.slice(7, 9), digest.slice(7))

/** What an image is made of. */
export const digestsOf = ({ digest, config, layers }: Image): string[] => [
  digest,
  config.digest,
  ...layers.map(({ digest }) => digest),
]

/**
 * Pulls an image as clients do, by a tag or its digest with its config and layers, and waits until it is stored.
 * `repository` is as clients write it.
 */
export async function pullImage(cistern: Puller, repository: string, image: Image, tag?: string) {
  const [digest = '', ...blobs] = digestsOf(image)
  for (const path of [`manifests/${tag ?? digest}`, ...blobs.map((blob) => `blobs/${blob}`)]) {
    const { status } = await fetchDigest(`${cistern.url}/v2/${repository}/${path}`)
    if (status !== 200) throw new Error(`${repository}/${path}: ${status}`)
  }
  for (const blob of blobs) await eventually(() => access(blobFile(cistern, blob)))
}

/** Pulls an index and some of its images, by default all. */
export async function pullIndex(
  cistern: Puller,
  repository: string,
  index: Index,
  tag: string,
  images: readonly Image[] = index.manifests as Image[],
) {
  await fetchDigest(`${cistern.url}/v2/${repository}/manifests/${tag}`)
  for (const image of images) await pullImage(cistern, repository, image)
}
