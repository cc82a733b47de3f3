import { join } from 'node:path'
import {
  DeleteRegistryPolicyCommand,
  DeleteRepositoryPolicyCommand,
  DescribeImagesCommand,
  GetRepositoryPolicyCommand,
} from '@aws-sdk/client-ecr'
import { expect, it } from 'vitest'
import { registryKey } from '../../../src/metadata/settings.ts'
import { SqliteSettings } from '../../../src/metadata/sqlite-settings.ts'
import { Appliance } from '../../faults/appliance.ts'
import { clientsOf, firstKey } from '../../support/ecr.ts'
import { image } from '../../support/faulty-upstream.ts'

const repositoryName = 'up.test/app'
const policy = '{"Version":"2031-01-01","Statement":[],"Mood":"later"}'

it('policies of a newer version deny everybody everything, once in the log, until an administrator deletes them', async () => {
  await using appliance = await Appliance.start()
  const { digest } = appliance.upstream.addImage('app', 'v1', image())
  appliance.upstream.addImage('free', 'v1', image())
  expect((await appliance.manifest('v1')).status).toBe(200)
  await appliance.restart(async () => {
    await using store = SqliteSettings.open(join(appliance.dataDir, 'settings.db'))
    await store.repositories.set(repositoryName, { policy })
    await store.registry.set(registryKey, { ...(await store.registry.get(registryKey)), policy })
  })
  const other = () => appliance.get('../free/manifests/v1')
  using clients = clientsOf({ url: new URL(appliance.url('')).origin }, await firstKey(appliance))
  const { ecr } = clients

  for (const reference of ['v1', digest, 'v1']) expect((await appliance.manifest(reference)).status).toBe(403)
  const describe = () => ecr.send(new DescribeImagesCommand({ repositoryName }))
  await expect(describe()).rejects.toMatchObject({ name: 'AccessDeniedException' })
  expect(appliance.faults).toMatchObject([
    { where: 'metadata', kind: 'invalid', repository: repositoryName },
    { where: 'metadata', kind: 'invalid', message: expect.stringContaining('registry') },
  ])
  await ecr.send(new DeleteRegistryPolicyCommand({}))
  expect((await other()).status).toBe(200)
  expect((await appliance.manifest('v1')).status).toBe(403)
  expect(await ecr.send(new GetRepositoryPolicyCommand({ repositoryName }))).toMatchObject({ policyText: policy })
  await ecr.send(new DeleteRepositoryPolicyCommand({ repositoryName }))
  expect((await appliance.manifest('v1')).status).toBe(200)
  await describe()
})
