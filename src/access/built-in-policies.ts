import { type PolicyDocument, readPolicy } from './policy-document.ts'

/**
 * Besides what the policies of these names allow at AWS, readers may import from upstream: without that they could pull
 * only what others have pulled before. To decide what a repository is, by making it before it is pulled, is not theirs.
 */
const pull = [
  ...['ecr:GetAuthorizationToken', 'ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'],
  'ecr:BatchImportUpstreamImage',
]

const read = [
  ...pull,
  ...['ecr:BatchCheckLayerAvailability', 'ecr:GetRepositoryPolicy', 'ecr:DescribeRepositories', 'ecr:ListImages'],
  ...['ecr:DescribeImages', 'ecr:GetLifecyclePolicy', 'ecr:GetLifecyclePolicyPreview', 'ecr:ListTagsForResource'],
  ...['ecr:DescribeImageScanFindings', 'ecr:ListImageReferrers'],
]

const write = [...read, 'ecr:InitiateLayerUpload', 'ecr:UploadLayerPart', 'ecr:CompleteLayerUpload', 'ecr:PutImage']

export const builtInPolicies: ReadonlyMap<string, PolicyDocument> = new Map(
  Object.entries({
    AdministratorAccess: ['*'],
    AmazonEC2ContainerRegistryFullAccess: ['ecr:*'],
    AmazonEC2ContainerRegistryPowerUser: write,
    AmazonEC2ContainerRegistryReadOnly: read,
    AmazonEC2ContainerRegistryPullOnly: pull,
  }).map(([name, actions]) => [
    name,
    readPolicy({ Statement: { Effect: 'Allow', Action: actions, Resource: '*' } }, 'identity'),
  ]),
)

/** Of whoever reaches the data plane in open mode. */
export const anonymousPolicies = [builtInPolicies.get('AmazonEC2ContainerRegistryReadOnly')].filter(
  (policy) => policy !== undefined,
)
