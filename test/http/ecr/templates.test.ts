import {
  CreateRepositoryCreationTemplateCommand,
  type CreateRepositoryCreationTemplateCommandInput,
  DeleteRepositoryCreationTemplateCommand,
  DescribeRepositoryCreationTemplatesCommand,
  UpdateRepositoryCreationTemplateCommand,
  type UpdateRepositoryCreationTemplateCommandInput,
} from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CisternProcess, startCistern } from '../../support/cistern.ts'
import { clientsOf, firstKey } from '../../support/ecr.ts'

const registryId = '000000000000'
const repositoryPolicy = JSON.stringify({
  Statement: [{ Effect: 'Deny', Principal: '*', Action: 'ecr:BatchGetImage' }],
})
const denyingAll = JSON.stringify({ Statement: { Effect: 'Deny', Principal: '*', Action: 'ecr:*' } })
const lifecyclePolicy = JSON.stringify({
  rules: [
    {
      rulePriority: 1,
      selection: { tagStatus: 'untagged', countType: 'sinceImagePushed', countUnit: 'days', countNumber: 14 },
      action: { type: 'expire' },
    },
  ],
})

let cistern: CisternProcess
let clients: ReturnType<typeof clientsOf>

beforeAll(async () => {
  cistern = await startCistern({ rules: [] })
  clients = clientsOf(cistern, await firstKey(cistern))
})

afterAll(async () => {
  clients[Symbol.dispose]()
  await cistern[Symbol.asyncDispose]()
})

type Created = Partial<CreateRepositoryCreationTemplateCommandInput>

const create = async (prefix: string, more: Created = {}) => {
  const input = { prefix, appliedFor: ['PULL_THROUGH_CACHE' as const], ...more }
  return (await clients.ecr.send(new CreateRepositoryCreationTemplateCommand(input))).repositoryCreationTemplate
}
const update = async (prefix: string, more: Partial<UpdateRepositoryCreationTemplateCommandInput>) =>
  (await clients.ecr.send(new UpdateRepositoryCreationTemplateCommand({ prefix, ...more }))).repositoryCreationTemplate
const remove = (prefix: string) => clients.ecr.send(new DeleteRepositoryCreationTemplateCommand({ prefix }))
const described = async (input: { prefixes?: string[]; maxResults?: number; nextToken?: string } = {}) => {
  const told = await clients.ecr.send(new DescribeRepositoryCreationTemplatesCommand(input))
  return { ...told, prefixes: told.repositoryCreationTemplates?.map(({ prefix }) => prefix) }
}

describe('a template', () => {
  it('is created once, told, and deleted', async () => {
    const made = await create('hub/')
    expect(made).toEqual({
      prefix: 'hub',
      appliedFor: ['PULL_THROUGH_CACHE'],
      resourceTags: [],
      imageTagMutability: 'MUTABLE',
      encryptionConfiguration: { encryptionType: 'AES256' },
      createdAt: expect.any(Date),
      updatedAt: expect.any(Date),
    })
    expect(await described({ prefixes: ['unknown', 'hub'] })).toMatchObject({
      registryId,
      repositoryCreationTemplates: [made],
    })
    await expect(create('hub')).rejects.toMatchObject({ name: 'TemplateAlreadyExistsException' })
    expect(await remove('hub')).toMatchObject({ registryId, repositoryCreationTemplate: made })
    await expect(remove('hub')).rejects.toMatchObject({ name: 'TemplateNotFoundException' })
    await expect(update('hub', {})).rejects.toMatchObject({ name: 'TemplateNotFoundException' })
    expect((await described({ prefixes: ['hub'] })).prefixes).toEqual([])
  })

  it('keeps all that it says, and what an update leaves out', async () => {
    const all = {
      appliedFor: ['REPLICATION', 'PULL_THROUGH_CACHE'],
      description: 'what we want',
      encryptionConfiguration: { encryptionType: 'KMS', kmsKey: 'alias/images' },
      resourceTags: [{ Key: 'team', Value: 'a' }],
      imageTagMutability: 'IMMUTABLE_WITH_EXCLUSION',
      imageTagMutabilityExclusionFilters: [{ filterType: 'WILDCARD', filter: 'latest' }],
      repositoryPolicy,
      lifecyclePolicy,
      customRoleArn: 'arn:aws:iam::000000000000:role/x',
    } satisfies Created
    const made = await create('kept', all)
    expect(made).toMatchObject(all)
    const described = { description: 'something else' }
    expect(await update('kept', described)).toEqual({ ...made, ...described, updatedAt: expect.any(Date) })
    const mutable = await update('kept', { imageTagMutability: 'MUTABLE', repositoryPolicy: '', lifecyclePolicy: '' })
    expect(mutable).toMatchObject({ imageTagMutability: 'MUTABLE', resourceTags: all.resourceTags, ...described })
    for (const member of ['imageTagMutabilityExclusionFilters', 'repositoryPolicy', 'lifecyclePolicy']) {
      expect(mutable).not.toHaveProperty(member)
    }
    await remove('kept')
  })

  it.each<[Created, string, string]>([
    [{ prefix: '' }, 'InvalidParameterException', 'greater than or equal to 1'],
    [{ prefix: 'p'.repeat(257) }, 'InvalidParameterException', 'less than or equal to 256'],
    [{ prefix: 'Hub' }, 'InvalidParameterException', 'must satisfy regular expression'],
    [{ appliedFor: [] }, 'InvalidParameterException', 'appliedFor'],
    [{ appliedFor: ['SOMETIMES' as 'REPLICATION'] }, 'InvalidParameterException', 'enum value set'],
    [{ description: 'd'.repeat(257) }, 'InvalidParameterException', 'less than or equal to 256'],
    [{ resourceTags: [{ Key: 'aws:x', Value: '' }] }, 'InvalidParameterException', 'reserved'],
    [{ imageTagMutability: 'MUTABLE_WITH_EXCLUSION' }, 'InvalidParameterException', 'must not be null'],
    [{ repositoryPolicy: '{"Statement":[]}' }, 'InvalidParameterException', 'Invalid repository policy provided'],
    [{ repositoryPolicy: 'canary' }, 'InvalidParameterException', 'Invalid repository policy provided'],
    [{ repositoryPolicy: denyingAll }, 'InvalidParameterException', 'it would keep you from setting another one'],
    [{ lifecyclePolicy: '{"rules":[]}' }, 'InvalidParameterException', 'Lifecycle policy validation failure'],
    [{ lifecyclePolicy: 'l'.repeat(30_721) }, 'InvalidParameterException', 'less than or equal to 30720'],
  ])('is refused with %j', async (more, name, message) => {
    await expect(create('refused', more)).rejects.toMatchObject({ name, message: expect.stringContaining(message) })
    await expect(create('refused', more)).rejects.not.toThrow('canary')
    expect((await described({ prefixes: ['refused'] })).prefixes).toEqual([])
  })

  it('is one of fifty at most, which come by pages', async () => {
    const prefixes = ['ROOT', ...Array.from({ length: 49 }, (_, index) => `many/${10 + index}`)]
    await Promise.all(prefixes.map((prefix) => create(prefix)))
    await expect(create('one/more')).rejects.toMatchObject({ name: 'LimitExceededException' })
    await expect(create('ROOT')).rejects.toMatchObject({ name: 'TemplateAlreadyExistsException' })
    const first = await described({ maxResults: 30 })
    const second = await described({ maxResults: 30, nextToken: first.nextToken ?? '' })
    expect([...(first.prefixes ?? []), ...(second.prefixes ?? [])]).toEqual([...prefixes].sort())
    expect(second.nextToken).toBeUndefined()
    const named = { prefixes: ['none', ...(first.prefixes ?? []).slice(0, 3).map(String)], maxResults: 2 }
    const some = await described(named)
    const others = await described({ ...named, nextToken: some.nextToken ?? '' })
    expect([some.prefixes, others.prefixes]).toEqual([first.prefixes?.slice(0, 2), first.prefixes?.slice(2, 3)])
  })
})
