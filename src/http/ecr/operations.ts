/**
 * What becomes of an operation: it works, keeps what it is given and tells it, to no other effect, is yet to be built,
 * or is not what a cache does.
 */
export type Support = 'yes' | 'stored' | 'later' | 'no'

const pushing = 'Images are pulled through, not pushed.'
const scanning = 'Images are not scanned.'
const signing = 'Images are not signed.'
const replication = 'There is one registry, and nothing to replicate to.'

const all: Record<Support, Record<string, readonly string[]>> = {
  yes: {
    '': [
      ...['BatchCheckLayerAvailability', 'GetDownloadUrlForLayer', 'ListImageReferrers'],
      ...['BatchGetImage', 'BatchDeleteImage'],
      ...['ListImages', 'DescribeImages'],
      ...['CreatePullThroughCacheRule', 'DescribePullThroughCacheRules', 'UpdatePullThroughCacheRule'],
      ...['DeletePullThroughCacheRule', 'ValidatePullThroughCacheRule', 'GetAuthorizationToken', 'DescribeRegistry'],
      ...['CreateRepository', 'DescribeRepositories', 'DeleteRepository', 'PutImageTagMutability'],
      ...['TagResource', 'UntagResource', 'ListTagsForResource'],
      ...['CreateRepositoryCreationTemplate', 'DescribeRepositoryCreationTemplates'],
      ...['UpdateRepositoryCreationTemplate', 'DeleteRepositoryCreationTemplate'],
      ...['SetRepositoryPolicy', 'GetRepositoryPolicy', 'DeleteRepositoryPolicy'],
      ...['PutRegistryPolicy', 'GetRegistryPolicy', 'DeleteRegistryPolicy'],
      ...['PutLifecyclePolicy', 'GetLifecyclePolicy', 'DeleteLifecyclePolicy'],
      ...['StartLifecyclePolicyPreview', 'GetLifecyclePolicyPreview'],
    ],
  },
  stored: {
    [scanning]: [
      ...['PutImageScanningConfiguration', 'PutRegistryScanningConfiguration', 'GetRegistryScanningConfiguration'],
      'BatchGetRepositoryScanningConfiguration',
    ],
  },
  later: {
    [pushing]: ['PutImage', 'InitiateLayerUpload', 'UploadLayerPart', 'CompleteLayerUpload'],
  },
  no: {
    [scanning]: ['StartImageScan', 'DescribeImageScanFindings'],
    [signing]: [
      ...['PutSigningConfiguration', 'GetSigningConfiguration', 'DeleteSigningConfiguration'],
      'DescribeImageSigningStatus',
    ],
    [replication]: ['PutReplicationConfiguration', 'DescribeImageReplicationStatus'],
    'There is one storage class.': ['UpdateImageStorageClass'],
    'There are no such settings.': ['GetAccountSetting', 'PutAccountSetting'],
    'Each pull counts as one.': [
      ...['RegisterPullTimeUpdateExclusion', 'DeregisterPullTimeUpdateExclusion', 'ListPullTimeUpdateExclusions'],
    ],
  },
}

/** The operations of Amazon ECR, each with what becomes of it here and why. The documentation is made of it. */
export const ecrOperations: ReadonlyMap<string, { support: Support; reason: string }> = new Map(
  Object.entries(all).flatMap(([support, reasons]) =>
    Object.entries(reasons).flatMap(([reason, names]) =>
      names.map((name): [string, { support: Support; reason: string }] => [
        name,
        { support: support as Support, reason },
      ]),
    ),
  ),
)
