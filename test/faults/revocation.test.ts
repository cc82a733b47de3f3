import { CreateRepositoryCommand, DeleteRepositoryPolicyCommand, SetRepositoryPolicyCommand } from '@aws-sdk/client-ecr'
import { expect, it } from 'vitest'
import { accessKeysFor, clientsOf, keyOf, loginOf } from '../support/ecr.ts'
import { image, startUpstream } from '../support/faulty-upstream.ts'
import { digestOfBytes, take, told } from './client.ts'
import { Ground, ruleTo } from './ground.ts'
import { Scratch } from './scratch.ts'

const MiB = 1024 * 1024
const repository = 'team/app'
const repositoryName = `up.test/${repository}`

it('F86: the policy of a repository takes the right away: what runs goes on, the next request is refused', async () => {
  await using scratch = await Scratch.start()
  await using upstream = await startUpstream()
  const users = { admin: ['AdministratorAccess'], reader: ['AmazonEC2ContainerRegistryPullOnly'] }
  const accessKeys = await accessKeysFor(scratch.directory, users)
  const config = { auth: { mode: 'required' }, accessKeys }
  await using ground = await Ground.start({ rules: [ruleTo('up.test', upstream.url)], config })
  using clients = clientsOf(ground.cistern, keyOf('admin'))
  const asking = { headers: await loginOf(ground.cistern, keyOf('reader')) }
  const { digest, layers } = upstream.addImage(repository, 'v1', image({ seed: 'revoked', layers: [4 * MiB, 5 * MiB] }))
  const [running, next] = layers.map((layer) => layer.digest)
  if (!running || !next) throw new Error('no layers')
  const at = ground.at('up.test')
  await clients.ecr.send(new CreateRepositoryCommand({ repositoryName }))
  expect((await at.manifest(repository, 'v1', asking)).status).toBe(200)

  const { promise, resolve: goOn } = Promise.withResolvers<void>()
  upstream.fault('blob', { pauseAfter: MiB, resume: promise, method: 'GET', times: 1 })
  const response = await at.openBlob(repository, running, asking)
  const start = await take(response, MiB / 2)
  const statement = { Effect: 'Deny', Principal: '*', NotAction: 'ecr:*RepositoryPolicy' }
  const policyText = JSON.stringify({ Version: '2012-10-17', Statement: statement })
  await clients.ecr.send(new SetRepositoryPolicyCommand({ repositoryName, policyText }))

  const refused = { status: 403, code: 'DENIED' }
  expect(told(await at.blob(repository, running, asking))).toEqual(refused)
  expect(told(await at.blob(repository, next, asking))).toEqual(refused)
  goOn()
  const rest: Buffer[] = await response.toArray()
  expect(digestOfBytes(Buffer.concat([start, ...rest]))).toBe(running)
  await ground.keeps(running)
  for (const path of ['manifests/v1', `manifests/${digest}`, `blobs/${running}`, `blobs/${next}`, 'tags/list']) {
    expect(told(await at.get(`${repository}/${path}`, asking))).toEqual(refused)
  }

  await clients.ecr.send(new DeleteRepositoryPolicyCommand({ repositoryName }))
  expect(digestOfBytes((await at.blob(repository, next, asking)).body)).toBe(next)
})
