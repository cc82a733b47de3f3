import { z } from 'zod'
import type { LayerTokens } from '../../access/layer-tokens.ts'
import { type Digest, isDigest } from '../../oci/digest.ts'
import { isKind } from '../../oci/errors.ts'
import type { Images } from '../../repositories/images.ts'
import { type SourceOptions, sourceFor } from '../source.ts'
import { AwsError } from './errors.ts'
import { digestPattern, digestReason } from './image-ids.ts'
import { inRepository, type OnRepositoryOptions, onRepository, orRepositoryMissing } from './on-repository.ts'
import type { OperationsByName } from './operation.ts'

export type LayersOptions = OnRepositoryOptions &
  SourceOptions & {
    images: Images
    layerTokens: LayerTokens
    /** How clients reach this instance, without a slash at its end. */
    publicUrl: string
  }

/** Layers, as ECR calls blobs: whether they are there, and where. */
export function layerOperations(options: LayersOptions): OperationsByName {
  const { registryId, images, layerTokens, publicUrl } = options
  return new Map([
    [
      'BatchCheckLayerAvailability',
      onRepository(options, {
        action: 'ecr:BatchCheckLayerAvailability',
        held: true,
        input: inRepository.extend({ layerDigests: z.array(z.string().max(1000)).min(1).max(100) }),
        run: async ({ layerDigests }, { repository }) => {
          const failures: object[] = []
          const layers: object[] = []
          for (const layerDigest of layerDigests) {
            const failure = failureOf(layerDigest)
            if (failure) {
              failures.push({ layerDigest, ...failure })
              continue
            }
            const size = isDigest(layerDigest) ? await images.blobSize(repository, layerDigest) : undefined
            layers.push(
              size === undefined
                ? { layerDigest, layerAvailability: 'UNAVAILABLE' }
                : { layerDigest, layerAvailability: 'AVAILABLE', layerSize: size },
            )
          }
          return { layers, failures }
        },
      }),
    ],
    [
      'GetDownloadUrlForLayer',
      onRepository(options, {
        action: 'ecr:GetDownloadUrlForLayer',
        held: false,
        input: inRepository.extend({ layerDigest: z.string().max(1000).regex(digestPattern) }),
        run: async ({ layerDigest }, name, { caller, exchange, key }) => {
          const { repository } = name
          if (!isDigest(layerDigest)) throw layerMissing(layerDigest, repository, registryId)
          exchange.facts.reference = layerDigest
          const source = await orRepositoryMissing(sourceFor(exchange, caller, name, options), name, registryId)
          try {
            await source.registry.stat(repository, layerDigest, source.pull)
          } catch (error) {
            throw layerErrorOf(error, layerDigest, repository, registryId)
          }
          const token = await layerTokens.issue(key, { repository, digest: layerDigest })
          return { downloadUrl: `${publicUrl}/layers/${token}`, layerDigest }
        },
      }),
    ],
  ])
}

function failureOf(layerDigest: string) {
  if (layerDigest === '') {
    return {
      failureCode: 'MissingLayerDigest',
      failureReason: 'Invalid request parameters: layer digest cannot be empty',
    }
  }
  if (!digestPattern.test(layerDigest)) {
    return { failureCode: 'InvalidLayerDigest', failureReason: digestReason('layer') }
  }
  return undefined
}

const layerMissing = (digest: string, repository: string, registryId: string): AwsError =>
  new AwsError(
    'LayersNotFoundException',
    `The layer with digest '${digest}' does not exist in the repository with name '${repository}' in the registry with id '${registryId}'`,
  )

function layerErrorOf(error: unknown, digest: Digest, repository: string, registryId: string): unknown {
  if (isKind(error, 'unknown')) return layerMissing(digest, repository, registryId)
  if (!isKind(error, 'denied', 'throttled', 'unavailable', 'corrupt')) return error
  return new AwsError('UnableToGetUpstreamLayerException', error.message)
}
