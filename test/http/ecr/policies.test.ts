import {
  CreateRepositoryCommand,
  DeleteRegistryPolicyCommand,
  DeleteRepositoryPolicyCommand,
  GetRegistryPolicyCommand,
  GetRepositoryPolicyCommand,
  PutRegistryPolicyCommand,
  SetRepositoryPolicyCommand,
} from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CisternProcess, startCistern } from '../../support/cistern.ts'
import { clientsOf, firstKey, type TestKey } from '../../support/ecr.ts'

const registryId = '000000000000'
const repositoryName = 'team/app'
const Version = '2012-10-17'
const allowing = { Effect: 'Allow', Principal: '*', Action: 'ecr:BatchGetImage' }
/** Spaces and the order of members are those of whoever wrote it. */
const policyText = `{ "Statement": [${JSON.stringify(allowing)}],\n  "Version": "${Version}" }`
const document = (...Statement: object[]) => JSON.stringify({ Version, Statement })

let cistern: CisternProcess
let key: TestKey
let clients: ReturnType<typeof clientsOf>

beforeAll(async () => {
  cistern = await startCistern({ rules: [] })
  key = await firstKey(cistern)
  clients = clientsOf(cistern, key)
  await clients.ecr.send(new CreateRepositoryCommand({ repositoryName }))
})

afterAll(async () => {
  clients[Symbol.dispose]()
  await cistern[Symbol.asyncDispose]()
})

const set = (policyText: string, more: object = {}) =>
  clients.ecr.send(new SetRepositoryPolicyCommand({ repositoryName, policyText, ...more }))
const get = (name = repositoryName) => clients.ecr.send(new GetRepositoryPolicyCommand({ repositoryName: name }))
const remove = (name = repositoryName) => clients.ecr.send(new DeleteRepositoryPolicyCommand({ repositoryName: name }))
const put = (policyText: string) => clients.ecr.send(new PutRegistryPolicyCommand({ policyText }))

describe('the policy of a repository', () => {
  it('is told as it was given, also after a restart, and deleted', async () => {
    const told = { registryId, repositoryName, policyText }
    expect(await set(policyText)).toMatchObject(told)
    expect(await get()).toMatchObject(told)
    await cistern.restart()
    clients[Symbol.dispose]()
    clients = clientsOf(cistern, key)
    expect(await get()).toMatchObject(told)
    expect(await remove()).toMatchObject(told)
    const missing = {
      name: 'RepositoryPolicyNotFoundException',
      message: `Repository policy does not exist for the repository with name '${repositoryName}' in the registry with id '${registryId}'`,
    }
    await expect(get()).rejects.toMatchObject(missing)
    await expect(remove()).rejects.toMatchObject(missing)
  })

  it('of a repository that is not there is not there either', async () => {
    const missing = {
      name: 'RepositoryNotFoundException',
      message: `The repository with name 'team/none' does not exist in the registry with id '${registryId}'`,
    }
    await expect(get('team/none')).rejects.toMatchObject(missing)
    await expect(remove('team/none')).rejects.toMatchObject(missing)
    await expect(set(policyText, { repositoryName: 'team/none' })).rejects.toMatchObject(missing)
  })

  it.each([
    ['nonsense', 'not JSON'],
    ['', 'not JSON'],
    [document({ ...allowing, Principal: undefined }), 'lacks a Principal'],
    [document({ ...allowing, Resource: '*' }), 'must not name a Resource'],
    [document({ ...allowing, Principal: { Service: 'codebuild.amazonaws.com' } }), 'Service is not evaluated here'],
    [document({ ...allowing, Condition: { StringEquals: { 'aws:PrincipalOrgID': 'o-x' } } }), 'key is not evaluated'],
    [policyText.replace('"Effect"', '"Effect":"Deny","Effect"'), 'a key twice'],
  ])('is refused where it says %j', async (text, reason) => {
    await expect(set(text, { force: true })).rejects.toMatchObject({
      name: 'InvalidParameterException',
      message: expect.stringMatching(
        /^Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided': /,
      ),
    })
    await expect(set(text, { force: true })).rejects.toThrow(reason)
    await expect(get()).rejects.toMatchObject({ name: 'RepositoryPolicyNotFoundException' })
  })

  it('has 10,240 characters at most', async () => {
    await set(policyText.padEnd(10_240))
    await expect(set(policyText.padEnd(10_241))).rejects.toMatchObject({
      name: 'InvalidParameterException',
      message: expect.stringContaining("'policyText' failed to satisfy constraint: 'Member must have length less than"),
    })
    await remove()
  })

  it.each([
    ['everybody everything', 'locked/all', { Principal: '*', Action: 'ecr:*' }],
    ['the account that very right', 'locked/account', { Principal: { AWS: registryId }, Action: 'ecr:Set*' }],
    ['all but another user', 'locked/not', { NotPrincipal: { AWS: `arn:aws:iam::${registryId}:user/x` }, Action: '*' }],
  ])('that denies %s locks out who sets it, and has to be forced', async (_, repositoryName, denied) => {
    await clients.ecr.send(new CreateRepositoryCommand({ repositoryName }))
    const text = document({ Effect: 'Deny', ...denied })
    await expect(set(text, { repositoryName })).rejects.toMatchObject({
      name: 'InvalidParameterException',
      message: expect.stringContaining('force'),
    })
    await set(policyText, { repositoryName })
    await set(text, { repositoryName, force: true })
    await expect(set(policyText, { repositoryName })).rejects.toMatchObject({ name: 'AccessDeniedException' })
  })
})

describe('the policy of the registry', () => {
  const registryPolicy = document({ ...allowing, Resource: '*' })

  it('is told as it was given, and deleted', async () => {
    const missing = {
      name: 'RegistryPolicyNotFoundException',
      message: `Registry policy does not exist in the registry with id '${registryId}'`,
    }
    const ask = () => clients.ecr.send(new GetRegistryPolicyCommand({}))
    const remove = () => clients.ecr.send(new DeleteRegistryPolicyCommand({}))
    await expect(ask()).rejects.toMatchObject(missing)
    await expect(remove()).rejects.toMatchObject(missing)
    const told = { registryId, policyText: registryPolicy }
    expect(await put(registryPolicy)).toMatchObject(told)
    expect(await ask()).toMatchObject(told)
    expect(await remove()).toMatchObject(told)
    await expect(ask()).rejects.toMatchObject(missing)
  })

  it('is refused where it cannot be read, and where it keeps whoever puts it from putting another one', async () => {
    await expect(put(policyText)).rejects.toMatchObject({
      name: 'InvalidParameterException',
      message: expect.stringContaining("'Invalid registry policy provided': Statement[0] lacks a Resource"),
    })
    const denying = document({ Effect: 'Deny', Principal: '*', Action: 'ecr:*', Resource: '*' })
    await expect(put(denying)).rejects.toMatchObject({ name: 'ValidationException' })
    await put(denying.replace('"Action":"ecr:*"', '"NotAction":"ecr:*RegistryPolicy"'))
    await expect(get()).rejects.toMatchObject({ name: 'AccessDeniedException' })
    await clients.ecr.send(new DeleteRegistryPolicyCommand({}))
  })
})
