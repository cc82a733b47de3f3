import { z } from 'zod'
import { concurrently } from '../../async/concurrently.ts'
import { isKind, type Kind, RegistryError } from '../../oci/errors.ts'
import { maxManifestSize } from '../../oci/manifest.ts'
import type { Manifest } from '../../oci/registry.ts'
import type { Exchange } from '../exchange.ts'
import { type Source, type SourceOptions, sourceFor } from '../source.ts'
import { AwsError } from './errors.ts'
import { ImageFailure, type ImageId, idIn, imageIds, imageMissing, tagMismatch, toldFailure } from './image-ids.ts'
import { inRepository, type OnRepositoryOptions, onRepository, orRepositoryMissing } from './on-repository.ts'
import type { OperationsByName } from './operation.ts'

export type PullsOptions = OnRepositoryOptions & SourceOptions

/** Of the manifests of one answer, and of all answers that are not sent yet: on its way each is held three times. */
const maxBytes = maxManifestSize
const maxBytesTogether = 4 * maxBytes

/** How many images of one request are asked for at a time. */
const atOnce = 8

/** Pulls by the control API: what is not cached is fetched, as on the data plane. */
export function pullOperations(options: PullsOptions): OperationsByName {
  const { registryId } = options
  const budget = new Budget()
  return new Map([
    [
      'BatchGetImage',
      onRepository(options, {
        action: 'ecr:BatchGetImage',
        held: false,
        input: inRepository.extend({
          imageIds,
          // Amazon ECR hands out what it has where it has nothing of an accepted type. Nothing is translated here.
          acceptedMediaTypes: z.array(z.string()).min(1).max(100).exactOptional(),
        }),
        run: async ({ imageIds }, name, { exchange, caller }) => {
          const source = await orRepositoryMissing(sourceFor(exchange, caller, name, options), name, registryId)
          const { repository: repositoryName } = name
          const results = await getAll(source, repositoryName, imageIds, budget.of(exchange))
          const got = results.filter((result) => 'manifest' in result)
          for (const { manifest } of got) source.pulled(manifest.descriptor.digest)
          return {
            images: got.map(({ id, manifest }) => told(id, manifest, { registryId, repositoryName })),
            failures: results.flatMap((result) => ('failure' in result ? toldFailure(result.id, result.failure) : [])),
          }
        },
      }),
    ],
  ])
}

type Result = { id: ImageId; manifest: Manifest } | { id: ImageId; failure: ImageFailure }

/** Bounds what answers hold in memory, however slowly upstreams give it and clients take it. */
class Budget {
  #held = 0

  /** Takes bytes for one answer, until that is over. Throws `LimitExceededException` and `ThrottlingException`. */
  of({ outgoing }: Exchange): (bytes: number) => void {
    let own = 0
    let over = outgoing.destroyed
    outgoing.once('close', () => {
      over = true
      this.#held -= own
    })
    return (bytes) => {
      if (over) return
      own += bytes
      this.#held += bytes
      if (own > maxBytes) throw tooMuch()
      if (this.#held > maxBytesTogether) throw new AwsError('ThrottlingException', 'Rate exceeded')
    }
  }
}

async function getAll(
  source: Source,
  repository: string,
  ids: readonly ImageId[],
  take: (bytes: number) => void,
): Promise<Result[]> {
  return concurrently(ids, atOnce, async (id): Promise<Result> => {
    try {
      const manifest = await get(source, repository, id)
      take(manifest.bytes.length)
      return { id, manifest }
    } catch (error) {
      const failure = failureOf(error)
      if (!failure) throw error
      return { id, failure }
    }
  })
}

async function get({ registry, pull }: Source, repository: string, id: ImageId): Promise<Manifest> {
  const { digest, tag } = idIn(id)
  if (tag !== undefined) {
    const manifest = await registry.manifest({ repository, tag }, pull)
    if (digest !== undefined && manifest.descriptor.digest !== digest) throw tagMismatch()
    return manifest
  }
  if (digest === undefined) throw imageMissing()
  return registry.manifest({ repository, digest }, pull)
}

const upstreamFailures: Partial<Record<Kind, string>> = {
  denied: 'UpstreamAccessDenied',
  throttled: 'UpstreamTooManyRequests',
  unavailable: 'UpstreamUnavailable',
  corrupt: 'UpstreamUnavailable',
}

/** What a client is told of one image; `undefined` for what went wrong with all of them. */
function failureOf(error: unknown): ImageFailure | undefined {
  if (error instanceof ImageFailure) return error
  if (isKind(error, 'unknown')) return imageMissing()
  const code = error instanceof RegistryError ? upstreamFailures[error.kind] : undefined
  return code === undefined ? undefined : new ImageFailure(code, (error as RegistryError).message)
}

/** A manifest is UTF-8: nothing else would have been stored. */
const told = (
  { imageTag }: ImageId,
  { descriptor, bytes }: Manifest,
  where: { registryId: string; repositoryName: string },
) => ({
  ...where,
  imageId: { imageDigest: descriptor.digest, ...(imageTag !== undefined && { imageTag }) },
  imageManifest: Buffer.from(bytes).toString(),
  imageManifestMediaType: descriptor.mediaType,
})

const tooMuch = () =>
  new AwsError('LimitExceededException', `The manifests of one request have at most ${maxBytes} bytes: ask for fewer`)
