import { createCipheriv, createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { tar } from './tar.ts'

export type TestBlob = { mediaType: string; digest: string; bytes: Buffer }

/** What one manifest needs to be pulled: its blobs, and its children where it is an index. */
export type TestImage = TestBlob & { blobs: TestBlob[]; children: TestImage[] }

export type Family = 'oci' | 'docker'

const types = {
  oci: {
    index: 'application/vnd.oci.image.index.v1+json',
    manifest: 'application/vnd.oci.image.manifest.v1+json',
    config: 'application/vnd.oci.image.config.v1+json',
    layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  },
  docker: {
    index: 'application/vnd.docker.distribution.manifest.list.v2+json',
    manifest: 'application/vnd.docker.distribution.manifest.v2+json',
    config: 'application/vnd.docker.container.image.v1+json',
    layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  },
} as const

export const sha256 = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

/** Bytes that no compressor shrinks, the same for the same seed. */
export function noise(seed: string, size: number): Buffer {
  const key = createHash('sha256').update(seed).digest()
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(size))
}

export type ImageOptions = { seed: string; family?: Family; layers?: number; layerSize?: number; architecture?: string }

/** An image that clients can unpack: each layer holds one file of noise. The same for the same options. */
export function makeImage(options: ImageOptions): TestImage {
  const { seed, family = 'oci', layers = 2, layerSize = 64 * 1024, architecture = 'amd64' } = options
  const tars = Array.from({ length: layers }, (_, i) =>
    tar({ [`noise-${i}`]: noise(`${seed} ${architecture} ${i}`, layerSize) }),
  )
  const config = {
    architecture,
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: tars.map(sha256) },
    history: tars.map(() => ({ created_by: 'tests' })),
  }
  const configBlob = blob(types[family].config, Buffer.from(JSON.stringify(config)))
  const layerBlobs = tars.map((bytes) => blob(types[family].layer, gzipSync(bytes, { level: 1 })))
  const manifest = { config: descriptor(configBlob), layers: layerBlobs.map(descriptor) }
  return { ...document(types[family].manifest, manifest), blobs: [configBlob, ...layerBlobs], children: [] }
}

/** One image for each architecture, under one index. */
export function makeIndex(options: ImageOptions & { architectures?: string[] }): TestImage {
  const { family = 'oci', architectures = ['amd64', 'arm64'] } = options
  const children = architectures.map((architecture) => makeImage({ ...options, architecture }))
  const manifests = children.map((child, i) => ({
    ...descriptor(child),
    platform: { architecture: architectures[i], os: 'linux' },
  }))
  return { ...document(types[family].index, { manifests }), blobs: [], children }
}

const blob = (mediaType: string, bytes: Buffer): TestBlob => ({ mediaType, digest: sha256(bytes), bytes })

const document = (mediaType: string, members: object): TestBlob =>
  blob(mediaType, Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...members }, null, 2)))

const descriptor = ({ mediaType, digest, bytes }: TestBlob) => ({ mediaType, digest, size: bytes.length })
