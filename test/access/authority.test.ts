import { afterEach, beforeEach, expect, it } from 'vitest'
import { Authority, type Caller } from '../../src/access/authority.ts'
import { type Events, subscribe } from '../../src/telemetry/events.ts'
import { accountId, alice, allow, allowing, denying, policy, repositoryArn } from './asking.ts'

const region = 'us-east-1'
const newer = JSON.stringify({ Version: '2031-01-01', Statement: [allowing('*')] })
const caller: Caller = { principal: alice, identity: [policy('identity', allow())], context: {} }
const nobody: Caller = { ...caller, identity: [] }

type Given = { repository?: string; tags?: [string, string][]; registry?: string }

const authority = ({ repository, tags, registry }: Given = {}) =>
  new Authority(
    { id: accountId, region },
    {
      of: async () => ({ ...(repository !== undefined && { policy: repository }), ...(tags && { tags }) }),
      registry: async () => (registry === undefined ? {} : { policy: registry }),
    },
  )

let faults: Events['cistern:fault'][]
let unsubscribe: () => void

beforeEach(() => {
  faults = []
  unsubscribe = subscribe('cistern:fault', (fault) => faults.push(fault))
})

afterEach(() => unsubscribe())

const document = (...Statement: object[]) => JSON.stringify({ Version: '2012-10-17', Statement })

it('asks the policy of the repository that is asked for, and that of the registry', async () => {
  const repository = document(allowing(alice.arn))
  expect(await authority().allows(nobody, 'ecr:BatchGetImage', repositoryArn)).toBe(false)
  expect(await authority({ repository }).allows(nobody, 'ecr:BatchGetImage', repositoryArn)).toBe(true)
  expect(await authority({ repository }).allows(nobody, 'ecr:DescribeRegistry', '*')).toBe(false)
  const registry = document(denying('*', { Resource: '*' }))
  expect(await authority({ repository, registry }).allows(caller, 'ecr:BatchGetImage', repositoryArn)).toBe(false)
  expect(await authority({ registry }).allows(caller, 'ecr:DescribeRegistry', '*')).toBe(false)
})

it('knows the tags of the repository', async () => {
  const Condition = { StringEquals: { 'aws:ResourceTag/team': 'web' } }
  const tagged: Caller = { ...caller, identity: [policy('identity', allow({ Condition }))] }
  expect(await authority().allows(tagged, 'ecr:BatchGetImage', repositoryArn)).toBe(false)
  const tags: [string, string][] = [['team', 'web']]
  expect(await authority({ tags }).allows(tagged, 'ecr:BatchGetImage', repositoryArn)).toBe(true)
})

it.each([
  ['repository', 'Set', { repository: newer }],
  ['registry', 'Put', { registry: newer }],
] as const)('takes a policy of the %s that it cannot read for one that denies everything', async (kind, set, given) => {
  const subject = authority(given)
  for (const who of [caller, nobody]) {
    expect(await subject.allows(who, 'ecr:BatchGetImage', repositoryArn)).toBe(false)
    expect(await subject.allows(who, 'ecr:DeleteRepository', repositoryArn)).toBe(false)
  }
  const name = kind === 'registry' ? 'RegistryPolicy' : 'RepositoryPolicy'
  for (const action of [`ecr:Get${name}`, `ecr:${set}${name}`, `ecr:Delete${name}`]) {
    expect(await subject.allows(caller, action, repositoryArn)).toBe(true)
    expect(await subject.allows(nobody, action, repositoryArn)).toBe(false)
  }
  expect(faults).toEqual([
    expect.objectContaining({ where: 'metadata', kind: 'invalid', message: expect.stringContaining(kind) }),
  ])
})

it('says what would be decided if another policy was set', async () => {
  const subject = authority({ repository: document(allowing(alice.arn)) })
  const repositoryPolicy = policy('repository', denying(alice.arn))
  expect(await subject.refusal(caller, 'ecr:SetRepositoryPolicy', repositoryArn)).toBeUndefined()
  expect(await subject.refusal(caller, 'ecr:SetRepositoryPolicy', repositoryArn, { repositoryPolicy })).toContain(
    'explicit deny',
  )
})

it('allows nothing where the policies cannot be looked up', async () => {
  const failing = { of: () => Promise.reject(new Error('the disk is gone')), registry: async () => ({}) }
  const subject = new Authority({ id: accountId, region }, failing)
  await expect(subject.allows(caller, 'ecr:BatchGetImage', repositoryArn)).rejects.toThrow('the disk is gone')
})
