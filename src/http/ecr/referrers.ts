import { z } from 'zod'
import { isDigest } from '../../oci/digest.ts'
import { isKind } from '../../oci/errors.ts'
import type { Referrer } from '../../oci/registry.ts'
import { type SourceOptions, sourceFor } from '../source.ts'
import { AwsError } from './errors.ts'
import { nextToken } from './input.ts'
import { inRepository, type OnRepositoryOptions, onRepository, orRepositoryMissing } from './on-repository.ts'
import type { OperationsByName } from './operation.ts'
import { pageOf } from './paging.ts'

const defaultPageSize = 20

/** What is about an image, as on the data plane. Of what nobody knows there is nothing. */
export function referrerOperations(options: OnRepositoryOptions & SourceOptions): OperationsByName {
  const { registryId } = options
  return new Map([
    [
      'ListImageReferrers',
      onRepository(options, {
        action: 'ecr:ListImageReferrers',
        held: false,
        input: inRepository.extend({
          subjectId: z.object({ imageDigest: z.string().max(1000) }),
          filter: z
            .object({
              artifactTypes: z.array(z.string().min(1).max(255)).min(1).max(5).exactOptional(),
              artifactStatus: z.literal(['ACTIVE', 'ARCHIVED', 'ACTIVATING', 'ANY']).exactOptional(),
            })
            .exactOptional(),
          nextToken: nextToken.exactOptional(),
          maxResults: z.int().min(1).max(50).exactOptional(),
        }),
        run: async (
          { subjectId, filter = {}, nextToken, maxResults = defaultPageSize },
          name,
          { caller, exchange },
        ) => {
          const { imageDigest } = subjectId
          const { artifactTypes, artifactStatus = 'ACTIVE' } = filter
          const source = await orRepositoryMissing(sourceFor(exchange, caller, name, options), name, registryId)
          let referrers: Referrer[] = []
          try {
            if (isDigest(imageDigest)) {
              exchange.facts.reference = imageDigest
              referrers = (await source.registry.referrers(name.repository, imageDigest, source.pull)).referrers
            }
          } catch (error) {
            if (!isKind(error, 'unknown')) throw referrersErrorOf(error)
          }
          const wanted = artifactStatus === 'ACTIVE' || artifactStatus === 'ANY' ? referrers : []
          const listed = wanted
            .filter(({ artifactType }) => !artifactTypes || artifactTypes.includes(artifactType ?? ''))
            .sort((one, other) => (one.digest < other.digest ? -1 : 1))
          const { page, ...next } = pageOf(listed, ({ digest }) => digest, { nextToken, maxResults })
          return { referrers: page.map(told), ...next }
        },
      }),
    ],
  ])
}

const told = ({ digest, mediaType, artifactType, size, annotations }: Referrer) => ({
  digest,
  mediaType,
  ...(artifactType !== undefined && { artifactType }),
  size,
  ...(annotations && { annotations }),
  artifactStatus: 'ACTIVE',
})

function referrersErrorOf(error: unknown): unknown {
  if (!isKind(error, 'denied', 'throttled', 'unavailable', 'corrupt')) return error
  return new AwsError('UnableToListUpstreamImageReferrersException', error.message)
}
