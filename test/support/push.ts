import type { TestBlob, TestImage } from './images.ts'
import type { TestRegistry } from './registry.ts'

/** Where to push: an origin, and the header it wants for a repository. */
export type PushTarget = { url: string; authorization?: (repository: string) => string | undefined }

/** Pushes past the counting proxy's memory: what a test counts begins after it. */
export async function push(registry: TestRegistry, repository: string, tag: string, image: TestImage): Promise<void> {
  await pushImage({ url: registry.proxy.url, authorization: registry.authorization }, repository, tag, image)
  registry.proxy.forget()
}

/**
 * Blobs first, children before their index, the tag last.
 *
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#push
 */
export async function pushImage(target: PushTarget, repository: string, tag: string, image: TestImage): Promise<void> {
  for (const child of image.children) await pushImage(target, repository, child.digest, child)
  for (const blob of image.blobs) await pushBlob(target, repository, blob)
  const url = `${target.url}/v2/${repository}/manifests/${tag}`
  await send(target, repository, 'PUT', url, image.bytes, image.mediaType)
}

export async function pushBlob(target: PushTarget, repository: string, blob: TestBlob): Promise<void> {
  const begun = await send(target, repository, 'POST', `${target.url}/v2/${repository}/blobs/uploads/`)
  const upload = new URL(begun.headers.get('location') ?? '', target.url)
  upload.searchParams.set('digest', blob.digest)
  await send(target, repository, 'PUT', upload.href, blob.bytes, 'application/octet-stream')
}

async function send(
  target: PushTarget,
  repository: string,
  method: string,
  url: string,
  bytes?: Buffer,
  type?: string,
) {
  const authorization = target.authorization?.(repository)
  const headers = { ...(authorization && { authorization }), ...(type && { 'content-type': type }) }
  const response = await fetch(url, { method, headers, ...(bytes && { body: new Uint8Array(bytes) }) })
  const text = await response.text()
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${text}`)
  return response
}
