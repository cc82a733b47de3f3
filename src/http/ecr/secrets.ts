import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { SecretError } from '../../secrets/secret-error.ts'
import type { Secret, Secrets } from '../../secrets/secrets.ts'
import { AwsError } from './errors.ts'
import { type OperationsByName, operation } from './operation.ts'
import { pageOf } from './paging.ts'

export type SecretsOptions = {
  secrets: Secrets
  registry: { readonly id: string; readonly region: string }
  clock: () => number
}

/** Only what rules can use is kept: https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache-creating-secret.html */
const name = z
  .string()
  .max(512)
  .regex(/^ecr-pullthroughcache\/[a-zA-Z0-9/_+=.@-]+$/)
const secretId = z.string().min(1).max(2048)
const value = {
  SecretString: z
    .string()
    .min(1)
    .max(65_536)
    .refine((text) => text.isWellFormed(), 'must be text in Unicode'),
  SecretBinary: z.never('is not kept here').exactOptional(),
  ClientRequestToken: z.string().min(32).max(64).exactOptional(),
}
const description = z.string().max(2048)
const stages = ['AWSCURRENT']
const versionStages = z.array(z.literal('AWSCURRENT')).min(1).max(20)
const filters = z.array(z.object({ Key: z.literal('name'), Values: z.array(z.string().max(512)).min(1).max(10) }))

/** As much of AWS Secrets Manager as the secrets of rules take. A secret has one version, the current one. */
export function secretOperations({ secrets, registry, clock }: SecretsOptions): OperationsByName {
  const { id, region } = registry
  const arnOf = (secretId: string): string =>
    secretId.startsWith('arn:') ? secretId : `arn:aws:secretsmanager:${region}:${id}:secret:${secretId}`
  const resource = ({ SecretId }: { SecretId: string }) => secrets.find(SecretId)?.arn ?? arnOf(SecretId)
  const found = (secretId: string): Secret => {
    const secret = secrets.find(secretId)
    if (!secret) throw new SecretError('missing')
    return secret
  }
  const operations: [string, ReturnType<typeof operation>][] = [
    [
      'CreateSecret',
      operation({
        action: 'secretsmanager:CreateSecret',
        input: z.object({ Name: name, ...value, Description: description.exactOptional() }),
        resource: ({ Name }) => arnOf(Name),
        run: async (input) => summaryOf(await secrets.create(input.Name, versionOf(input), input.Description)),
      }),
    ],
    [
      'GetSecretValue',
      operation({
        action: 'secretsmanager:GetSecretValue',
        input: z.object({
          SecretId: secretId,
          VersionId: z.string().exactOptional(),
          VersionStage: z.string().exactOptional(),
        }),
        resource,
        run: ({ SecretId, VersionId, VersionStage = 'AWSCURRENT' }) => {
          const secret = found(SecretId)
          const current = VersionStage === 'AWSCURRENT' && (VersionId ?? secret.versionId) === secret.versionId
          if (!current) throw new SecretError('missing')
          return {
            ...summaryOf(secret),
            SecretString: secrets.valueOf(SecretId),
            VersionStages: stages,
            CreatedDate: secret.changedAt / 1000,
          }
        },
      }),
    ],
    [
      'DescribeSecret',
      operation({
        action: 'secretsmanager:DescribeSecret',
        input: z.object({ SecretId: secretId }),
        resource,
        run: ({ SecretId }) => {
          const secret = found(SecretId)
          return { ...describe(secret), VersionIdsToStages: { [secret.versionId]: stages } }
        },
      }),
    ],
    [
      'ListSecrets',
      operation({
        action: 'secretsmanager:ListSecrets',
        input: z.object({
          Filters: filters.max(10).exactOptional(),
          MaxResults: z.int().min(1).max(100).exactOptional(),
          NextToken: z.string().max(4096).exactOptional(),
        }),
        run: ({ Filters = [], MaxResults: maxResults, NextToken: token }) => {
          const wanted = secrets.list().filter(({ name }) => Filters.every(({ Values }) => hasStart(name, Values)))
          const { page, nextToken } = pageOf(wanted, ({ name }) => name, { maxResults, nextToken: token })
          const listed = page.map((secret) => ({
            ...describe(secret),
            SecretVersionsToStages: { [secret.versionId]: stages },
          }))
          return { SecretList: listed, ...(nextToken !== undefined && { NextToken: nextToken }) }
        },
      }),
    ],
    [
      'PutSecretValue',
      operation({
        action: 'secretsmanager:PutSecretValue',
        input: z.object({ SecretId: secretId, ...value, VersionStages: versionStages.exactOptional() }),
        resource,
        run: async (input) => {
          const secret = await secrets.update(input.SecretId, { version: versionOf(input) })
          return { ...summaryOf(secret), VersionStages: stages }
        },
      }),
    ],
    [
      'UpdateSecret',
      operation({
        action: 'secretsmanager:UpdateSecret',
        input: z.object({
          SecretId: secretId,
          ...value,
          SecretString: value.SecretString.exactOptional(),
          Description: description.exactOptional(),
        }),
        resource,
        run: async ({ SecretId, SecretString, ClientRequestToken, Description }) => {
          const secret = await secrets.update(SecretId, {
            ...(SecretString !== undefined && {
              version: versionOf({ SecretString, ...(ClientRequestToken && { ClientRequestToken }) }),
            }),
            ...(Description !== undefined && { description: Description }),
          })
          return summaryOf(secret)
        },
      }),
    ],
    [
      'DeleteSecret',
      operation({
        action: 'secretsmanager:DeleteSecret',
        input: z.object({ SecretId: secretId }),
        resource,
        run: async ({ SecretId }) => {
          const secret = await secrets.delete(SecretId)
          return { ARN: secret.arn, Name: secret.name, DeletionDate: clock() / 1000 }
        },
      }),
    ],
  ]
  return new Map(operations.map(([key, run]) => [key, async (input, call) => telling(() => run(input, call))]))
}

/** A name is sought by how it begins; behind an exclamation mark, by how it must not. */
const hasStart = (name: string, starts: readonly string[]): boolean =>
  starts.some((start) => (start.startsWith('!') ? !name.startsWith(start.slice(1)) : name.startsWith(start)))

const versionOf = (input: { SecretString: string; ClientRequestToken?: string }) => ({
  versionId: input.ClientRequestToken ?? randomUUID(),
  value: input.SecretString,
})

const summaryOf = ({ arn, name, versionId }: Secret) => ({ ARN: arn, Name: name, VersionId: versionId })

const describe = ({ arn, name, description, createdAt, changedAt }: Secret) => ({
  ARN: arn,
  Name: name,
  ...(description !== undefined && { Description: description }),
  CreatedDate: createdAt / 1000,
  LastChangedDate: changedAt / 1000,
})

const errors = {
  limit: ['LimitExceededException', 'The request failed because there are as many secrets as there may be.'],
  missing: ['ResourceNotFoundException', "Secrets Manager can't find the specified secret."],
  exists: ['ResourceExistsException', 'The operation failed because the secret or this version of it already exists.'],
  undecryptable: ['DecryptionFailure', "Secrets Manager can't decrypt the protected secret text."],
} as const

async function telling<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof SecretError)) throw error
    const [code, message] = errors[error.reason]
    throw new AwsError(code, message)
  }
}
