import {
  BatchGetRepositoryScanningConfigurationCommand,
  CreateRepositoryCommand,
  GetRegistryScanningConfigurationCommand,
  PutRegistryScanningConfigurationCommand,
  type RegistryScanningRule,
} from '@aws-sdk/client-ecr'
import { expect, it } from 'vitest'
import { startCistern } from '../../support/cistern.ts'
import { clientsOf, firstKey } from '../../support/ecr.ts'

const rule = (scanFrequency: 'SCAN_ON_PUSH' | 'CONTINUOUS_SCAN', filter: string): RegistryScanningRule => ({
  scanFrequency,
  repositoryFilters: [{ filter, filterType: 'WILDCARD' }],
})

it('what is to be scanned is kept, and told, over a restart', async () => {
  await using cistern = await startCistern({ rules: [] })
  const key = await firstKey(cistern)
  const configuration = async () => {
    using clients = clientsOf(cistern, key)
    return clients.ecr.send(new GetRegistryScanningConfigurationCommand({}))
  }
  const put = async (scanType: 'BASIC' | 'ENHANCED', ...rules: RegistryScanningRule[]) => {
    using clients = clientsOf(cistern, key)
    return clients.ecr.send(new PutRegistryScanningConfigurationCommand({ scanType, rules }))
  }
  expect(await configuration()).toMatchObject({
    registryId: '000000000000',
    scanningConfiguration: { scanType: 'BASIC', rules: [] },
  })
  const rules = [rule('CONTINUOUS_SCAN', 'team/*'), rule('SCAN_ON_PUSH', '*')]
  const told = { scanType: 'ENHANCED', rules }
  expect(await put('ENHANCED', ...rules)).toMatchObject({ registryScanningConfiguration: told })
  await expect(put('BASIC', rule('CONTINUOUS_SCAN', '*'))).rejects.toMatchObject({ name: 'ValidationException' })
  for (const filter of ['Team', 'team/', `${'a-'.repeat(60)}!`, '']) {
    await expect(put('BASIC', rule('SCAN_ON_PUSH', filter))).rejects.toMatchObject({
      name: 'InvalidParameterException',
    })
  }
  await cistern.restart()
  expect(await configuration()).toMatchObject({ scanningConfiguration: told })

  using clients = clientsOf(cistern, key)
  const repositoryNames = ['team/app', 'other/app']
  for (const repositoryName of repositoryNames) {
    await clients.ecr.send(new CreateRepositoryCommand({ repositoryName }))
  }
  const command = new BatchGetRepositoryScanningConfigurationCommand({
    repositoryNames: [...repositoryNames, 'not/there'],
  })
  expect(await clients.ecr.send(command)).toMatchObject({
    scanningConfigurations: [
      { repositoryName: 'team/app', scanOnPush: false, scanFrequency: 'CONTINUOUS_SCAN' },
      { repositoryName: 'other/app', scanOnPush: true, appliedScanFilters: [{ filter: '*' }] },
    ],
    failures: [{ repositoryName: 'not/there', failureCode: 'REPOSITORY_NOT_FOUND' }],
  })
})
