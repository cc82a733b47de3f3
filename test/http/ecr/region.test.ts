import { DescribeRegistryCommand, ECRClient } from '@aws-sdk/client-ecr'
import { describe, expect, it } from 'vitest'
import { startCistern } from '../../support/cistern.ts'
import { firstKey } from '../../support/ecr.ts'

const region = 'eu-central-1'

describe('registry.strictRegion', () => {
  it.each([true, false])('%s: decides whether another region may sign', async (strictRegion) => {
    await using cistern = await startCistern({ rules: [], config: { registry: { region, strictRegion } } })
    const credentials = await firstKey(cistern)
    const signedFor = async (region: string) => {
      const client = new ECRClient({ endpoint: cistern.url, region, credentials, maxAttempts: 1 })
      const outcome = await client.send(new DescribeRegistryCommand({})).then(
        () => 'accepted',
        ({ name, message }: Error) => `${name}: ${message}`,
      )
      client.destroy()
      return outcome
    }
    expect(await signedFor(region)).toBe('accepted')
    expect(await signedFor('us-west-2')).toBe(
      strictRegion
        ? "InvalidSignatureException: Credential should be scoped to a valid region, not 'us-west-2'."
        : 'accepted',
    )
  })
})
