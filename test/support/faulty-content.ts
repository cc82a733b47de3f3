import { createCipheriv, createHash } from 'node:crypto'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import type { Descriptor } from '../../src/oci/registry.ts'

/** Content of any size that is made when it is read. */
export type Blob = {
  digest: Digest
  size: number
  /** `end` does not count. */
  slice(start: number, end: number): Buffer
  bytes(): Buffer
}

export type StoredManifest = { descriptor: Descriptor; digest: Digest; mediaType: string; bytes: Buffer }
export type Image = StoredManifest & { config: Blob; layers: Blob[] }
export type Index = StoredManifest & { manifests: StoredManifest[] }

export const ociManifest = 'application/vnd.oci.image.manifest.v1+json'
export const ociIndex = 'application/vnd.oci.image.index.v1+json'
export const dockerManifest = 'application/vnd.docker.distribution.manifest.v2+json'
export const dockerList = 'application/vnd.docker.distribution.manifest.list.v2+json'

const stretch = 1024 * 1024

/** Bytes that look random and are the same for the same seed. Takes no memory: a gigabyte costs only its hashing. */
export function randomBlob(size: number, seed: number | string = size): Blob {
  const key = createHash('sha256').update(`blob ${seed}`).digest()
  const slice = (start: number, end: number): Buffer => {
    const from = Math.floor(start / 16)
    const iv = Buffer.alloc(16)
    iv.writeBigUInt64BE(BigInt(from), 8)
    const zeros = Buffer.alloc(Math.max(0, Math.min(end, size) - from * 16))
    return createCipheriv('aes-256-ctr', key, iv)
      .update(zeros)
      .subarray(start - from * 16)
  }
  const hash = createHash('sha256')
  for (let at = 0; at < size; at += stretch) hash.update(slice(at, at + stretch))
  return { digest: `sha256:${hash.digest('hex')}`, size, slice, bytes: () => slice(0, size) }
}

export function blobOf(content: Uint8Array | string, algorithm: 'sha256' | 'sha512' = 'sha256'): Blob {
  const bytes = Buffer.from(content as Uint8Array)
  return {
    digest: digestOf(bytes, algorithm),
    size: bytes.length,
    slice: (start, end) => bytes.subarray(start, end),
    bytes: () => bytes,
  }
}

/** A manifest of any document, printed the way nobody else would print it: who prints it again changes its digest. */
export function manifestOf(document: unknown, mediaType = ociManifest, algorithm: 'sha256' | 'sha512' = 'sha256') {
  const text = typeof document === 'string' ? document : `${JSON.stringify(document, null, 3)}\n`
  const bytes = Buffer.from(text)
  const digest = digestOf(bytes, algorithm)
  const descriptor = { mediaType, digest, size: bytes.length }
  return { descriptor, digest, mediaType, bytes } satisfies StoredManifest
}

export type ImageOptions = {
  /** Sizes in bytes. */
  layers?: number[]
  seed?: number | string
  mediaType?: string
  subject?: Descriptor
  artifactType?: string
  annotations?: Record<string, string>
}

export function image(options: ImageOptions = {}): Image {
  const { layers: sizes = [1000, 2000], seed = 'image', mediaType = ociManifest, ...rest } = options
  const docker = mediaType === dockerManifest
  const layers = sizes.map((size, position) => randomBlob(size, `${seed}/${position}/${size}`))
  const diffIds = layers.map(({ digest }) => digest)
  const config = blobOf(
    JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diffIds }, seed }),
  )
  const manifest = manifestOf(
    {
      schemaVersion: 2,
      mediaType,
      config: {
        mediaType: docker
          ? 'application/vnd.docker.container.image.v1+json'
          : 'application/vnd.oci.image.config.v1+json',
        digest: config.digest,
        size: config.size,
      },
      layers: layers.map(({ digest, size }) => ({
        mediaType: docker
          ? 'application/vnd.docker.image.rootfs.diff.tar.gzip'
          : 'application/vnd.oci.image.layer.v1.tar+gzip',
        digest,
        size,
      })),
      ...rest,
    },
    mediaType,
  )
  return { ...manifest, config, layers }
}

export function index(manifests: StoredManifest[], mediaType = ociIndex): Index {
  const architectures = ['amd64', 'arm64', 's390x', 'riscv64']
  const entries = manifests.map(({ descriptor }, position) => ({
    ...descriptor,
    platform: { os: 'linux', architecture: architectures[position] ?? `test${position}` },
  }))
  return { ...manifestOf({ schemaVersion: 2, mediaType, manifests: entries }, mediaType), manifests }
}
