import { type Digest, isDigest } from './digest.ts'
import { corrupt } from './errors.ts'

/** Something that a manifest lists, as far as it says so itself. */
export type Listed = {
  digest: Digest
  mediaType?: string
  /** In bytes. */
  size?: number
  /** `os/architecture`, and `/variant` where there is one. */
  platform?: string
  /** The manifest beside it that it tells of: build attestations stand in indexes like that. */
  about?: Digest
}

/** What a manifest is made of: the manifests of an index, or the config and layers of an image. */
export type Content = {
  manifests: Listed[]
  blobs: Listed[]
  subject?: Digest
  artifactType?: string
  annotations?: Record<string, string>
}

/** Reads a manifest. What is malformed in it lists nothing. Throws `corrupt` for what is no JSON object. */
export function contentOf(bytes: Uint8Array): Content {
  const { manifests, config, layers, blobs, subject, artifactType, annotations } = parse(bytes)
  const type = [artifactType, isRecord(config) ? config.mediaType : undefined].find(isText)
  const about = isRecord(subject) ? subject.digest : undefined
  return {
    manifests: listedIn([manifests]),
    blobs: listedIn([config, layers, blobs]),
    ...(isText(about) && isDigest(about) && { subject: about }),
    ...(type !== undefined && { artifactType: type }),
    ...(isRecord(annotations) && { annotations: texts(annotations) }),
  }
}

type Document = Record<string, unknown>

function parse(bytes: Uint8Array): Document {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes))
    if (isRecord(value)) return value
  } catch {}
  throw corrupt('a manifest is not a JSON object')
}

/** Each digest once for each platform. Layers that registries may not hand on are not theirs to have. */
function listedIn(members: readonly unknown[]): Listed[] {
  const listed = new Map<string, Listed>()
  for (const descriptor of members.flat()) {
    if (!isRecord(descriptor) || !isText(descriptor.digest) || !isDigest(descriptor.digest)) continue
    if (isText(descriptor.mediaType) && /foreign|nondistributable/.test(descriptor.mediaType)) continue
    const { digest, size } = descriptor
    const platform = platformIn(descriptor.platform)
    const about = isRecord(descriptor.annotations) ? descriptor.annotations['vnd.docker.reference.digest'] : undefined
    listed.set(`${digest} ${platform}`, {
      digest,
      ...(isText(descriptor.mediaType) && { mediaType: descriptor.mediaType }),
      ...(Number.isSafeInteger(size) && (size as number) >= 0 && { size: size as number }),
      ...(platform !== undefined && { platform }),
      ...(isText(about) && isDigest(about) && { about }),
    })
  }
  return [...listed.values()]
}

/** Whatever else stands there is no platform that anybody could ask for. */
function platformIn(value: unknown): string | undefined {
  if (!isRecord(value)) return undefined
  const { os, architecture, variant } = value
  const parts = isText(variant) ? [os, architecture, variant] : [os, architecture]
  return parts.every((part) => isText(part) && /^[\w.+-]{1,64}$/.test(part)) ? parts.join('/') : undefined
}

const texts = (record: Document): Record<string, string> =>
  Object.fromEntries(Object.entries(record).filter((entry): entry is [string, string] => typeof entry[1] === 'string'))

const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''

const isRecord = (value: unknown): value is Document =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
