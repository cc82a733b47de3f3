import { LRUCache } from 'lru-cache'
import { Places } from '../async/places.ts'
import { SingleFlight } from '../async/single-flight.ts'
import type { BlobStore } from '../blobs/blob-store.ts'
import { algorithmOf, type Digest, digestOf, isDigest } from '../oci/digest.ts'
import { maxManifestSize } from '../oci/manifest.ts'

/** What a manifest says of its image. */
export type ManifestFacts = {
  /** In bytes, of its config and layers as it declares them; absent where it declares none. */
  declaredSize?: number
  artifactType?: string
  /** What it is about. */
  subject?: Digest
}

const maxRemembered = 20_000
/** A large one takes many times its size while it is read. */
const maxAtOnce = 2
/** Of a media type: https://www.rfc-editor.org/rfc/rfc6838#section-4.2 */
const maxTypeLength = 255

/** Reads stored manifests, without that counting as use: a few at a time, and each once, for none of them ever changes. */
export class ManifestReader {
  readonly #blobs: BlobStore
  readonly #known = new LRUCache<Digest, ManifestFacts>({ max: maxRemembered })
  readonly #flights = new SingleFlight<ManifestFacts>()
  readonly #places = new Places(maxAtOnce, Number.POSITIVE_INFINITY)

  constructor(blobs: BlobStore) {
    this.#blobs = blobs
  }

  /** Says nothing of one that cannot be read. */
  async facts(digest: Digest): Promise<ManifestFacts> {
    const known = this.#known.get(digest)
    if (known) return known
    try {
      return await this.#flights.do(digest, () => this.#read(digest)).result
    } catch {
      return {} // whoever pulls it finds out, and has it put aside
    }
  }

  async #read(digest: Digest): Promise<ManifestFacts> {
    const leave = await this.#places.take()
    try {
      await using blob = await this.#blobs.open(digest)
      if (!blob || blob.size > maxManifestSize) return {}
      const chunks: Buffer[] = []
      await using body = blob.body()
      await body.sendTo({
        write: (chunk) => {
          chunks.push(Buffer.from(chunk))
        },
      })
      const bytes = Buffer.concat(chunks)
      if (digestOf(bytes, algorithmOf(digest)) !== digest) return {}
      const facts = factsIn(JSON.parse(bytes.toString()))
      this.#known.set(digest, facts)
      return facts
    } finally {
      leave?.()
    }
  }
}

type Described = { size?: unknown; mediaType?: unknown; digest?: unknown } | null | undefined

/** Throws for what is no object. */
export function factsIn(manifest: unknown): ManifestFacts {
  const { config, layers, blobs, artifactType, subject } = manifest as Record<string, Described | Described[]>
  const sizes = [config, layers, blobs].flat().map((descriptor) => descriptor?.size)
  const declared = sizes.filter((size) => Number.isSafeInteger(size) && (size as number) >= 0) as number[]
  const type = [artifactType, (config as Described)?.mediaType].find((text) => typeof text === 'string' && text !== '')
  const about = (subject as Described)?.digest
  return {
    ...(declared.length > 0 && { declaredSize: declared.reduce((sum, size) => sum + size, 0) }),
    ...(typeof type === 'string' && type.length <= maxTypeLength && { artifactType: type }),
    ...(typeof about === 'string' && isDigest(about) && { subject: about }),
  }
}
