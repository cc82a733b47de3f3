import { z } from 'zod'
import type { RepositoryRecord } from '../../metadata/metadata.ts'
import type { RepositorySettings, TagMutability } from '../../metadata/settings.ts'
import { invalidParameter } from './errors.ts'

/** Members that repositories and their templates share. */
export const encryptionConfiguration = z.object({
  encryptionType: z.literal(['AES256', 'KMS', 'KMS_DSSE']),
  kmsKey: z.string().min(1).max(2048).exactOptional(),
})

export const imageScanningConfiguration = z.object({ scanOnPush: z.boolean().exactOptional() })

export const imageTagMutability = z.literal([
  'MUTABLE',
  'IMMUTABLE',
  'IMMUTABLE_WITH_EXCLUSION',
  'MUTABLE_WITH_EXCLUSION',
])

export const imageTagMutabilityExclusionFilters = z
  .array(z.object({ filterType: z.literal('WILDCARD'), filter: z.string().regex(/^[0-9a-zA-Z._*-]{1,128}$/) }))
  .min(1)
  .max(5)

const maxWildcards = 2

type MutabilityInput = {
  imageTagMutability?: TagMutability
  imageTagMutabilityExclusionFilters?: z.output<typeof imageTagMutabilityExclusionFilters>
}

/** Throws `InvalidParameterException` for members that do not go together. */
export function mutabilityIn(
  input: MutabilityInput,
): Pick<RepositorySettings, 'tagMutability' | 'mutabilityExclusions'> {
  const { imageTagMutability: tagMutability = 'MUTABLE', imageTagMutabilityExclusionFilters: filters } = input
  const member = 'imageTagMutabilityExclusionFilters'
  if ((filters === undefined) === tagMutability.endsWith('_WITH_EXCLUSION')) {
    const must = filters === undefined ? 'must not be null' : 'must be null'
    throw invalidParameter(member, `Member ${must} where imageTagMutability is ${tagMutability}`)
  }
  if (filters === undefined) return { tagMutability }
  const mutabilityExclusions = filters.map(({ filter }) => filter)
  if (mutabilityExclusions.some((filter) => filter.split('*').length - 1 > maxWildcards)) {
    throw invalidParameter(member, `a filter has at most ${maxWildcards} wildcards`)
  }
  return { tagMutability, mutabilityExclusions }
}

/** Throws `InvalidParameterException` for members that do not go together. */
export function encryptionIn(
  configuration: z.output<typeof encryptionConfiguration> | undefined,
): Pick<RepositorySettings, 'encryption'> {
  if (!configuration) return {}
  const { encryptionType: type, kmsKey } = configuration
  if (kmsKey !== undefined && type === 'AES256') {
    throw invalidParameter('encryptionConfiguration.kmsKey', 'Member must be null where encryptionType is AES256')
  }
  return { encryption: { type, ...(kmsKey !== undefined && { kmsKey }) } }
}

export const mutabilityOf = ({ tagMutability = 'MUTABLE', mutabilityExclusions: filters }: RepositorySettings) => ({
  imageTagMutability: tagMutability,
  ...(filters && {
    imageTagMutabilityExclusionFilters: filters.map((filter) => ({ filterType: 'WILDCARD', filter })),
  }),
})

export const encryptionOf = ({ encryption: { type, kmsKey } = { type: 'AES256' } }: RepositorySettings) => ({
  encryptionConfiguration: { encryptionType: type, ...(kmsKey !== undefined && { kmsKey }) },
})

export const scanningOf = ({ scanOnPush = false }: RepositorySettings) => ({
  imageScanningConfiguration: { scanOnPush },
})

/** A repository as it is told. */
export function repositoryOf(
  repositoryName: string,
  { createdAt }: RepositoryRecord,
  settings: RepositorySettings,
  { arn, registryId, publicUrl }: { arn: string; registryId: string; publicUrl: string },
) {
  return {
    repositoryArn: arn,
    registryId,
    repositoryName,
    repositoryUri: `${new URL(publicUrl).host}/${repositoryName}`,
    createdAt: createdAt / 1000,
    ...mutabilityOf(settings),
    ...scanningOf(settings),
    ...encryptionOf(settings),
  }
}
