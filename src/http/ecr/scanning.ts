import { z } from 'zod'
import type { RegistrySettings } from '../../metadata/settings.ts'
import type { Repositories } from '../../repositories/repositories.ts'
import type { Settings } from '../../repositories/settings.ts'
import { matches } from '../../rules/rule.ts'
import { validation } from './errors.ts'
import { repositoryName } from './input.ts'
import { type Call, type Operation, type OperationsByName, operation } from './operation.ts'

export type ScanningOptions = { registryId: string; repositories: Repositories; settings: Settings }

type Scanning = NonNullable<RegistrySettings['scanning']>

const maxFilters = 100
const byDefault: Scanning = { type: 'BASIC', rules: [] }

const repositoryFilter = z.object({
  filter: z
    .string()
    .min(1)
    .max(255)
    .regex(/^[a-z0-9*]+(?:[._/-][a-z0-9*]+)*$/),
  filterType: z.literal('WILDCARD'),
})
const scanningRule = z.object({
  scanFrequency: z.literal(['SCAN_ON_PUSH', 'CONTINUOUS_SCAN', 'MANUAL']),
  repositoryFilters: z.array(repositoryFilter).max(maxFilters),
})

/** What is to be scanned, and when: kept, and told to those who ask, for images are not scanned here. */
export function scanningOperations({ registryId, repositories, settings }: ScanningOptions): OperationsByName {
  const operations: [string, Operation][] = [
    [
      'PutRegistryScanningConfiguration',
      operation({
        action: 'ecr:PutRegistryScanningConfiguration',
        input: z.object({
          scanType: z.literal(['BASIC', 'ENHANCED']).exactOptional(),
          rules: z.array(scanningRule).max(2).exactOptional(),
        }),
        run: async ({ scanType: type = 'BASIC', rules = [] }) => {
          if (type === 'BASIC' && rules.some(({ scanFrequency }) => scanFrequency === 'CONTINUOUS_SCAN')) {
            throw validation('CONTINUOUS_SCAN goes with the scan type ENHANCED')
          }
          const scanning: Scanning = {
            type,
            rules: rules.map(({ scanFrequency, repositoryFilters }) => ({
              frequency: scanFrequency,
              filters: repositoryFilters.map(({ filter }) => filter),
            })),
          }
          await settings.changeRegistry((before) => ({ ...before, scanning }))
          return { registryScanningConfiguration: configurationOf(scanning) }
        },
      }),
    ],
    [
      'GetRegistryScanningConfiguration',
      operation({
        action: 'ecr:GetRegistryScanningConfiguration',
        input: z.object({}),
        run: async () => {
          const { scanning } = await settings.registry()
          return { registryId, scanningConfiguration: configurationOf(scanning) }
        },
      }),
    ],
    [
      'BatchGetRepositoryScanningConfiguration',
      operation({
        action: 'ecr:BatchGetRepositoryScanningConfiguration',
        input: z.object({ repositoryNames: z.array(repositoryName).min(1).max(25) }),
        resource: ({ repositoryNames }, { authority }) => repositoryNames.map((name) => authority.repositoryArn(name)),
        run: async ({ repositoryNames }, call) => {
          const { scanning = byDefault } = await settings.registry()
          const told = async (name: string) => scanningOf(name, await settings.of(name), scanning, call)
          const there = new Set<string>()
          for (const name of repositoryNames) if (await repositories.has(name)) there.add(name)
          return {
            scanningConfigurations: await Promise.all([...there].map(told)),
            failures: repositoryNames.filter((name) => !there.has(name)).map(missing),
          }
        },
      }),
    ],
  ]
  return new Map(operations)
}

const configurationOf = ({ type, rules }: Scanning = byDefault) => ({
  scanType: type,
  rules: rules.map(({ frequency, filters }) => ({
    scanFrequency: frequency,
    repositoryFilters: filters.map(toldFilter),
  })),
})

const toldFilter = (filter: string) => ({ filter, filterType: 'WILDCARD' })

const missing = (repositoryName: string) => ({
  repositoryName,
  failureCode: 'REPOSITORY_NOT_FOUND',
  failureReason: 'The repository does not exist',
})

function scanningOf(name: string, { scanOnPush = false }, { rules }: Scanning, { authority }: Call) {
  const applying = rules.find(({ filters }) => filters.some((filter) => matches(filter, name)))
  const scanFrequency = applying?.frequency ?? (scanOnPush ? 'SCAN_ON_PUSH' : 'MANUAL')
  return {
    repositoryArn: authority.repositoryArn(name),
    repositoryName: name,
    scanOnPush: scanFrequency === 'SCAN_ON_PUSH',
    scanFrequency,
    appliedScanFilters: (applying?.filters ?? []).filter((filter) => matches(filter, name)).map(toldFilter),
  }
}
