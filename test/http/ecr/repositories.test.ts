import {
  CreateRepositoryCommand,
  type CreateRepositoryCommandInput,
  DeleteRepositoryCommand,
  DescribeRepositoriesCommand,
  PutImageScanningConfigurationCommand,
  PutImageTagMutabilityCommand,
} from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CisternProcess, startCistern } from '../../support/cistern.ts'
import { clientsOf, firstKey } from '../../support/ecr.ts'

const registryId = '000000000000'

let cistern: CisternProcess
let clients: ReturnType<typeof clientsOf>

beforeAll(async () => {
  cistern = await startCistern({ rules: [], config: { publicUrl: 'https://cache.example:5000' } })
  clients = clientsOf(cistern, await firstKey(cistern))
})

afterAll(async () => {
  clients[Symbol.dispose]()
  await cistern[Symbol.asyncDispose]()
})

const create = async (repositoryName: string, more: Partial<CreateRepositoryCommandInput> = {}) =>
  (await clients.ecr.send(new CreateRepositoryCommand({ repositoryName, ...more }))).repository

const described = async (...repositoryNames: string[]) =>
  (await clients.ecr.send(new DescribeRepositoriesCommand({ repositoryNames }))).repositories

const exclusions = (...filters: string[]) => filters.map((filter) => ({ filterType: 'WILDCARD', filter }) as const)

describe('a repository', () => {
  it('is created once, and told with what holds for every one', async () => {
    const startedAt = Date.now()
    const made = await create('made/once')
    expect(made).toEqual({
      repositoryArn: `arn:aws:ecr:us-east-1:${registryId}:repository/made/once`,
      registryId,
      repositoryName: 'made/once',
      repositoryUri: 'cache.example:5000/made/once',
      createdAt: expect.any(Date),
      imageTagMutability: 'MUTABLE',
      imageScanningConfiguration: { scanOnPush: false },
      encryptionConfiguration: { encryptionType: 'AES256' },
    })
    expect(Math.abs((made?.createdAt?.getTime() ?? 0) - startedAt)).toBeLessThan(60_000)
    expect(await described('made/once')).toEqual([made])
    await expect(create('made/once')).rejects.toMatchObject({
      name: 'RepositoryAlreadyExistsException',
      message: `The repository with name 'made/once' already exists in the registry with id '${registryId}'`,
    })
  })

  it('keeps what it was created with, over a restart', async () => {
    const choices = {
      imageTagMutability: 'IMMUTABLE_WITH_EXCLUSION',
      imageTagMutabilityExclusionFilters: exclusions('latest', 'dev-*'),
      imageScanningConfiguration: { scanOnPush: true },
      encryptionConfiguration: { encryptionType: 'KMS', kmsKey: 'alias/images' },
    } as const
    const made = await create('made/kept', { ...choices, tags: [{ Key: 'team', Value: 'a' }] })
    expect(made).toMatchObject(choices)
    await cistern.restart()
    clients[Symbol.dispose]()
    clients = clientsOf(cistern, await firstKey(cistern))
    expect(await described('made/kept')).toEqual([made])
  })

  it.each<[Partial<CreateRepositoryCommandInput>, string, string]>([
    [{ repositoryName: 'a' }, 'InvalidParameterException', 'greater than or equal to 2'],
    [{ repositoryName: 'a'.repeat(257) }, 'InvalidParameterException', 'less than or equal to 256'],
    [{ repositoryName: 'Team/app' }, 'InvalidParameterException', "at 'repositoryName' failed to satisfy"],
    [{ repositoryName: 'team//app' }, 'InvalidParameterException', 'must satisfy regular expression'],
    [{ repositoryName: '../team' }, 'InvalidParameterException', 'must satisfy regular expression'],
    [{ imageTagMutability: 'SOMETIMES' as 'MUTABLE' }, 'InvalidParameterException', 'enum value set'],
    [{ imageTagMutability: 'IMMUTABLE_WITH_EXCLUSION' }, 'InvalidParameterException', 'must not be null'],
    [{ imageTagMutabilityExclusionFilters: exclusions('v*') }, 'InvalidParameterException', 'must be null'],
    [
      { imageTagMutability: 'MUTABLE_WITH_EXCLUSION', imageTagMutabilityExclusionFilters: exclusions('a*b*c*') },
      ...(['InvalidParameterException', 'at most 2 wildcards'] as const),
    ],
    [
      {
        imageTagMutability: 'MUTABLE_WITH_EXCLUSION',
        imageTagMutabilityExclusionFilters: exclusions('1', '2', '3', '4', '5', '6'),
      },
      ...(['InvalidParameterException', 'less than or equal to 5'] as const),
    ],
    [
      { encryptionConfiguration: { encryptionType: 'AES256', kmsKey: 'alias/x' } },
      ...(['InvalidParameterException', 'kmsKey'] as const),
    ],
    [{ tags: [{ Key: 'aws:x', Value: '' }] }, 'InvalidTagParameterException', 'reserved'],
    [{ tags: [{ Key: 'k'.repeat(129), Value: '' }] }, 'InvalidTagParameterException', '128'],
    [{ tags: [{ Key: 'k', Value: 'v'.repeat(257) }] }, 'InvalidTagParameterException', '256'],
    [{ tags: [{ Key: 'k\n', Value: '' }] }, 'InvalidTagParameterException', 'characters'],
    [{ tags: ['1', '2'].map((Value) => ({ Key: 'k', Value })) }, 'InvalidTagParameterException', 'once'],
    [
      { tags: Array.from({ length: 51 }, (_, index) => ({ Key: `k${index}`, Value: '' })) },
      ...(['TooManyTagsException', '50'] as const),
    ],
    [{ registryId: '111122223333' }, 'AccessDeniedException', registryId],
  ])('is not created with %j', async (input, name, message) => {
    await expect(create('refused/one', input)).rejects.toMatchObject({
      name,
      message: expect.stringContaining(message),
    })
    await expect(described('refused/one')).rejects.toMatchObject({ name: 'RepositoryNotFoundException' })
  })

  it('that is not there is said not to be', async () => {
    const missing = {
      name: 'RepositoryNotFoundException',
      message: `The repository with name 'not/there' does not exist in the registry with id '${registryId}'`,
    }
    const repositoryName = 'not/there'
    await expect(described('made/once', repositoryName)).rejects.toMatchObject(missing)
    const commands = [
      new PutImageTagMutabilityCommand({ repositoryName, imageTagMutability: 'IMMUTABLE' }),
      new PutImageScanningConfigurationCommand({ repositoryName, imageScanningConfiguration: { scanOnPush: true } }),
    ]
    for (const command of commands) await expect(clients.ecr.send(command as never)).rejects.toMatchObject(missing)
    await expect(described(repositoryName)).rejects.toMatchObject(missing)
  })

  it('changes whether its tags may move, and whether it says to be scanned', async () => {
    const repositoryName = 'made/changing'
    await create(repositoryName)
    const put = (imageTagMutability: 'IMMUTABLE' | 'MUTABLE_WITH_EXCLUSION', ...filters: string[]) =>
      clients.ecr.send(
        new PutImageTagMutabilityCommand({
          repositoryName,
          imageTagMutability,
          ...(filters.length > 0 && { imageTagMutabilityExclusionFilters: exclusions(...filters) }),
        }),
      )
    expect(await put('MUTABLE_WITH_EXCLUSION', 'v*')).toMatchObject({
      registryId,
      repositoryName,
      imageTagMutability: 'MUTABLE_WITH_EXCLUSION',
      imageTagMutabilityExclusionFilters: exclusions('v*'),
    })
    await expect(put('IMMUTABLE', 'v*')).rejects.toMatchObject({ name: 'InvalidParameterException' })
    expect(await put('IMMUTABLE')).not.toHaveProperty('imageTagMutabilityExclusionFilters')
    const scanned = await clients.ecr.send(
      new PutImageScanningConfigurationCommand({ repositoryName, imageScanningConfiguration: { scanOnPush: true } }),
    )
    expect(scanned).toMatchObject({ registryId, repositoryName, imageScanningConfiguration: { scanOnPush: true } })
    const [told] = (await described(repositoryName)) ?? []
    expect(told).toMatchObject({ imageTagMutability: 'IMMUTABLE', imageScanningConfiguration: { scanOnPush: true } })
    expect(told).not.toHaveProperty('imageTagMutabilityExclusionFilters')
  })
})

it('repositories come by pages, in the order of their names', async () => {
  for (const name of ['page/3', 'page/1', 'page/2']) await create(name)
  const names: (string | undefined)[] = []
  let nextToken: string | undefined
  do {
    const input = { maxResults: 2, ...(nextToken !== undefined && { nextToken }) }
    const page = await clients.ecr.send(new DescribeRepositoriesCommand(input))
    expect(page.repositories?.length).toBeLessThanOrEqual(2)
    names.push(...(page.repositories ?? []).map(({ repositoryName }) => repositoryName))
    nextToken = page.nextToken
  } while (nextToken !== undefined)
  expect(names).toEqual([...names].sort())
  expect(names).toEqual(expect.arrayContaining(['page/1', 'page/2', 'page/3']))
  expect(new Set(names).size).toBe(names.length)
  const both = new DescribeRepositoriesCommand({ repositoryNames: ['page/1'], maxResults: 2 })
  await expect(clients.ecr.send(both)).rejects.toMatchObject({ name: 'InvalidParameterException' })
})

it('repositories are listed while some of them are deleted', async () => {
  const names = Array.from({ length: 300 }, (_, number) => `leaving/${String(number).padStart(3, '0')}`)
  await Promise.all(names.map((name) => create(name)))
  const list = new DescribeRepositoriesCommand({ maxResults: 1000 })
  for (const repositoryName of names.slice(0, 30)) {
    const [, { repositories = [] }] = await Promise.all([
      clients.ecr.send(new DeleteRepositoryCommand({ repositoryName })),
      clients.ecr.send(list),
    ])
    expect(repositories.map(({ repositoryName }) => repositoryName)).toContain(names.at(-1))
  }
})
