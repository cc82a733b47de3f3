import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  CreateRepositoryCommand,
  CreateRepositoryCreationTemplateCommand,
  DeleteRepositoryCommand,
  DescribeRepositoriesCommand,
  UpdateRepositoryCreationTemplateCommand,
} from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startCistern } from '../../support/cistern.ts'
import { accessKeysFor, clientsOf, keyOf, loginOf } from '../../support/ecr.ts'

/** Manages the repositories below one prefix, and templates, but no policies. */
const ofTeam = {
  Statement: [
    {
      Effect: 'Allow',
      Action: ['ecr:CreateRepository', 'ecr:DescribeRepositories', 'ecr:DeleteRepository'],
      Resource: 'arn:aws:ecr:*:*:repository/team/*',
    },
    { Effect: 'Allow', Action: ['ecr:GetAuthorizationToken', 'ecr:*RepositoryCreationTemplate'], Resource: '*' },
  ],
}

const resources = new AsyncDisposableStack()
let url = ''

beforeAll(async () => {
  const { path } = resources.use(await mkdtempDisposable(join(tmpdir(), 'cistern-keys-')))
  const accessKeys = await accessKeysFor(path, { admin: ['AdministratorAccess'], member: [ofTeam] })
  const cistern = resources.use(await startCistern({ rules: [], config: { accessKeys, auth: { mode: 'required' } } }))
  url = cistern.url
})
afterAll(() => resources.disposeAsync())

const as = (user: string) => clientsOf({ url }, keyOf(user))
const denied = (action: string) => ({ name: 'AccessDeniedException', message: expect.stringContaining(action) })

it('repositories are told of one by one to those who may see them, and all of them to those who may see all', async () => {
  using admin = as('admin')
  using member = as('member')
  await admin.ecr.send(new CreateRepositoryCommand({ repositoryName: 'other/app' }))
  await member.ecr.send(new CreateRepositoryCommand({ repositoryName: 'team/app' }))
  const named = (...repositoryNames: string[]) => new DescribeRepositoriesCommand({ repositoryNames })
  const { repositories } = await member.ecr.send(named('team/app'))
  expect(repositories).toMatchObject([{ repositoryName: 'team/app' }])
  const refusal = denied('ecr:DescribeRepositories')
  for (const refused of [named('team/app', 'other/app'), named('not/there'), new DescribeRepositoriesCommand({})]) {
    await expect(member.ecr.send(refused)).rejects.toMatchObject(refusal)
  }
  expect((await admin.ecr.send(new DescribeRepositoriesCommand({}))).repositories).toHaveLength(2)
  const catalog = async (user: string) =>
    (await fetch(`${url}/v2/_catalog`, { headers: await loginOf({ url }, keyOf(user)) })).status
  expect([await catalog('admin'), await catalog('member')]).toEqual([200, 403])
})

it('repositories are made and deleted by those who may, with tags by those who may tag them', async () => {
  using member = as('member')
  const elsewhere = { repositoryName: 'other/made' }
  await expect(member.ecr.send(new CreateRepositoryCommand(elsewhere))).rejects.toMatchObject(
    denied('ecr:CreateRepository'),
  )
  await expect(member.ecr.send(new DeleteRepositoryCommand(elsewhere))).rejects.toMatchObject(
    denied('ecr:DeleteRepository'),
  )
  const tagged = { repositoryName: 'team/tagged', tags: [{ Key: 'team', Value: 'a' }] }
  await expect(member.ecr.send(new CreateRepositoryCommand(tagged))).rejects.toMatchObject(denied('ecr:TagResource'))
})

it('templates decide no more than their makers may', async () => {
  using member = as('member')
  using admin = as('admin')
  const prefix = 'team'
  const create = (more: object) =>
    member.ecr.send(
      new CreateRepositoryCreationTemplateCommand({ prefix, appliedFor: ['PULL_THROUGH_CACHE'], ...more }),
    )
  const repositoryPolicy = JSON.stringify({
    Statement: { Effect: 'Allow', Principal: '*', Action: 'ecr:BatchGetImage' },
  })
  await expect(create({ repositoryPolicy })).rejects.toMatchObject(denied('ecr:SetRepositoryPolicy'))
  await expect(create({ lifecyclePolicy: '{}' })).rejects.toMatchObject(denied('ecr:PutLifecyclePolicy'))
  await expect(create({ resourceTags: [] })).rejects.toMatchObject(denied('ecr:TagResource'))
  await create({ imageTagMutability: 'IMMUTABLE' })
  const update = new UpdateRepositoryCreationTemplateCommand({ prefix, repositoryPolicy })
  await expect(member.ecr.send(update)).rejects.toMatchObject(denied('ecr:SetRepositoryPolicy'))
  await admin.ecr.send(update)
})
