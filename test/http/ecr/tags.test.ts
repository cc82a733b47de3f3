import {
  CreateRepositoryCommand,
  ListTagsForResourceCommand,
  type Tag,
  TagResourceCommand,
  UntagResourceCommand,
} from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CisternProcess, startCistern } from '../../support/cistern.ts'
import { clientsOf, firstKey } from '../../support/ecr.ts'

const arnOf = (repository: string) => `arn:aws:ecr:us-east-1:000000000000:repository/${repository}`
const resourceArn = arnOf('tagged/app')

let cistern: CisternProcess
let clients: ReturnType<typeof clientsOf>

beforeAll(async () => {
  cistern = await startCistern({ rules: [] })
  clients = clientsOf(cistern, await firstKey(cistern))
  const tags = [{ Key: 'team', Value: 'a' }]
  await clients.ecr.send(new CreateRepositoryCommand({ repositoryName: 'tagged/app', tags }))
})

afterAll(async () => {
  clients[Symbol.dispose]()
  await cistern[Symbol.asyncDispose]()
})

const tag = (...tags: Tag[]) => clients.ecr.send(new TagResourceCommand({ resourceArn, tags }))
const untag = (...tagKeys: string[]) => clients.ecr.send(new UntagResourceCommand({ resourceArn, tagKeys }))
const listed = async () => (await clients.ecr.send(new ListTagsForResourceCommand({ resourceArn }))).tags

describe('the tags of a repository', () => {
  it('are added, replaced and removed', async () => {
    expect(await listed()).toEqual([{ Key: 'team', Value: 'a' }])
    await tag({ Key: 'stage', Value: '' }, { Key: 'team', Value: 'b' })
    expect(await listed()).toEqual([
      { Key: 'stage', Value: '' },
      { Key: 'team', Value: 'b' },
    ])
    await untag('stage', 'unknown')
    expect(await listed()).toEqual([{ Key: 'team', Value: 'b' }])
  })

  it('are fifty at most, whoever adds them', async () => {
    const many = Array.from({ length: 49 }, (_, index) => ({ Key: `k${index}`, Value: '' }))
    await tag(...many)
    await expect(tag({ Key: 'one-more', Value: '' })).rejects.toMatchObject({ name: 'TooManyTagsException' })
    await tag({ Key: 'k0', Value: 'changed' })
    expect(await listed()).toHaveLength(50)
    await untag(...many.map(({ Key }) => Key))
  })

  it.each([
    'nonsense',
    'arn:aws:ecr:us-east-1:000000000000:repository/',
    'arn:aws:ecr:us-east-1:000000000000:repository/*',
    'arn:aws:ecr:us-east-1:111122223333:repository/tagged/app',
    'arn:aws:ecr:eu-west-1:000000000000:repository/tagged/app',
    'arn:aws:s3:::bucket',
  ])('are none of %s', async (resourceArn) => {
    const refused = { name: 'InvalidParameterException', message: expect.stringContaining("'Invalid ARN'") }
    const tags = [{ Key: 'k', Value: '' }]
    await expect(clients.ecr.send(new TagResourceCommand({ resourceArn, tags }))).rejects.toMatchObject(refused)
    const untag = new UntagResourceCommand({ resourceArn, tagKeys: ['k'] })
    await expect(clients.ecr.send(untag)).rejects.toMatchObject(refused)
    await expect(clients.ecr.send(new ListTagsForResourceCommand({ resourceArn }))).rejects.toMatchObject(refused)
  })

  it('need a repository', async () => {
    const resourceArn = arnOf('not/there')
    const missing = { name: 'RepositoryNotFoundException' }
    const tags = [{ Key: 'k', Value: '' }]
    await expect(clients.ecr.send(new TagResourceCommand({ resourceArn, tags }))).rejects.toMatchObject(missing)
    const untag = new UntagResourceCommand({ resourceArn, tagKeys: ['k'] })
    await expect(clients.ecr.send(untag)).rejects.toMatchObject(missing)
    await expect(clients.ecr.send(new ListTagsForResourceCommand({ resourceArn }))).rejects.toMatchObject(missing)
  })
})
