import { z } from 'zod'
import { type PolicyDocument, parsePolicy } from '../../access/policy-document.ts'
import { PolicyError } from '../../access/policy-error.ts'
import { parseLifecyclePolicy } from '../../lifecycle/policy.ts'
import { LifecyclePolicyError } from '../../lifecycle/policy-error.ts'
import type { RepositorySettings, RepositoryTemplate } from '../../metadata/settings.ts'
import { AwsError, invalidParameter } from './errors.ts'
import { customRoleArn, templatePrefix } from './input.ts'
import {
  encryptionConfiguration,
  encryptionIn,
  encryptionOf,
  imageTagMutability,
  imageTagMutabilityExclusionFilters,
  mutabilityIn,
  mutabilityOf,
} from './repository-shapes.ts'
import { tagList, toldTags, withTags } from './tag-shapes.ts'

const appliedFor = z
  .array(z.literal(['PULL_THROUGH_CACHE', 'REPLICATION', 'CREATE_ON_PUSH']))
  .min(1)
  .max(3)

/** What is left out stays as it is; a policy that is empty is none. */
export const templateChange = z.object({
  prefix: templatePrefix,
  appliedFor: appliedFor.exactOptional(),
  description: z.string().max(256).exactOptional(),
  encryptionConfiguration: encryptionConfiguration.exactOptional(),
  resourceTags: tagList.exactOptional(),
  imageTagMutability: imageTagMutability.exactOptional(),
  imageTagMutabilityExclusionFilters: imageTagMutabilityExclusionFilters.exactOptional(),
  repositoryPolicy: z.string().max(10_240).exactOptional(),
  lifecyclePolicy: z.string().max(30_720).exactOptional(),
  customRoleArn: customRoleArn.exactOptional(),
})

export const newTemplate = templateChange.extend({ appliedFor })

export type TemplateInput = z.output<typeof templateChange>

/** `before` with what the input says in its place. Throws `AwsError` for what is wrong with it. */
export function changedBy(input: TemplateInput, before: RepositoryTemplate, updatedAt: number): RepositoryTemplate {
  return {
    ...before,
    settings: settingsIn(input, before.settings),
    ...(input.appliedFor && { appliedFor: [...new Set(input.appliedFor)] }),
    ...(input.description !== undefined && { description: input.description }),
    ...(input.customRoleArn !== undefined && { customRoleArn: input.customRoleArn }),
    updatedAt,
  }
}

function settingsIn(input: TemplateInput, before: RepositorySettings): RepositorySettings {
  assertPolicies(input)
  const { policy: policyBefore, lifecyclePolicy: lifecycleBefore, ...rest } = before
  const { repositoryPolicy: policy = policyBefore, lifecyclePolicy = lifecycleBefore } = input
  return {
    ...withMutability(input, rest),
    ...encryptionIn(input.encryptionConfiguration),
    ...(input.resourceTags && { tags: tagsIn(input.resourceTags) }),
    ...(policy && { policy }),
    ...(lifecyclePolicy && { lifecyclePolicy }),
  }
}

function withMutability(input: TemplateInput, before: RepositorySettings): RepositorySettings {
  if (input.imageTagMutability === undefined && input.imageTagMutabilityExclusionFilters === undefined) return before
  const { tagMutability = 'MUTABLE', mutabilityExclusions: _, ...rest } = before
  return { ...rest, ...mutabilityIn({ imageTagMutability: tagMutability, ...input }) }
}

/** Of templates Amazon ECR knows no errors of their own for tags. */
function tagsIn(given: z.output<typeof tagList>) {
  try {
    return withTags([], given)
  } catch (error) {
    throw error instanceof AwsError ? invalidParameter('resourceTags', error.message) : error
  }
}

function assertPolicies({ repositoryPolicy, lifecyclePolicy }: TemplateInput): void {
  if (repositoryPolicy) policyIn(repositoryPolicy)
  try {
    if (lifecyclePolicy) parseLifecyclePolicy(lifecyclePolicy)
  } catch (error) {
    throw error instanceof LifecyclePolicyError ? invalidParameter('lifecyclePolicy', error.message) : error
  }
}

/** The policy that a template has for its repositories. Throws `InvalidParameterException`. */
export function policyIn(repositoryPolicy: string): PolicyDocument {
  try {
    return parsePolicy(repositoryPolicy, 'repository')
  } catch (error) {
    throw error instanceof PolicyError ? invalidPolicy(error.message) : error
  }
}

export const invalidPolicy = (why: string): AwsError =>
  invalidParameter('repositoryPolicy', `Invalid repository policy provided: ${why}`)

/** A template as it is told. */
export function templateOf(prefix: string, { settings, ...template }: RepositoryTemplate) {
  const { tags, policy, lifecyclePolicy } = settings
  const { description, customRoleArn } = template
  return {
    prefix,
    ...(description !== undefined && { description }),
    ...encryptionOf(settings),
    resourceTags: toldTags(tags),
    ...mutabilityOf(settings),
    ...(policy !== undefined && { repositoryPolicy: policy }),
    ...(lifecyclePolicy !== undefined && { lifecyclePolicy }),
    appliedFor: template.appliedFor,
    ...(customRoleArn !== undefined && { customRoleArn }),
    createdAt: template.createdAt / 1000,
    updatedAt: template.updatedAt / 1000,
  }
}
