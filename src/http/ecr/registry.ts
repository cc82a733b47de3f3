import { z } from 'zod'
import type { AccessKey } from '../../access/access-key.ts'
import type { Token } from '../../access/tokens.ts'
import { registryId } from './input.ts'
import { type OperationsByName, operation } from './operation.ts'

export type RegistryOptions = {
  registryId: string
  publicUrl: string
  tokens: { issue(key: AccessKey): Promise<Token> }
}

/** The registry itself, and logging in to it. */
export function registryOperations({ registryId: own, publicUrl, tokens }: RegistryOptions): OperationsByName {
  return new Map([
    [
      'GetAuthorizationToken',
      operation({
        action: 'ecr:GetAuthorizationToken',
        input: z.object({ registryIds: z.array(registryId).min(1).max(10).exactOptional() }),
        run: async ({ registryIds = [own] }, { key }) => {
          const { authorizationToken, expiresAt } = await tokens.issue(key)
          const data = { authorizationToken, expiresAt: expiresAt / 1000, proxyEndpoint: publicUrl }
          return { authorizationData: registryIds.map(() => data) }
        },
      }),
    ],
    [
      'DescribeRegistry',
      operation({
        action: 'ecr:DescribeRegistry',
        input: z.object({}),
        run: () => ({ registryId: own, replicationConfiguration: { rules: [] } }),
      }),
    ],
  ])
}
