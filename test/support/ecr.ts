import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ECRClient } from '@aws-sdk/client-ecr'
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager'
import type { CisternProcess } from './cistern.ts'

export type TestKey = { accessKeyId: string; secretAccessKey: string }

/** The access key that a first start made. */
export async function firstKey(cistern: CisternProcess): Promise<TestKey> {
  const { keys } = JSON.parse(await readFile(join(cistern.dataDir, 'access-keys.json'), 'utf8'))
  return { accessKeyId: keys[0].id, secretAccessKey: keys[0].secret }
}

/** AWS's own clients, for whoever has the key. */
export function clientsOf(cistern: { url: string }, credentials: TestKey) {
  const options = { endpoint: cistern.url, region: 'us-east-1', credentials, maxAttempts: 1 }
  const ecr = new ECRClient(options)
  const secrets = new SecretsManagerClient(options)
  return {
    ecr,
    secrets,
    [Symbol.dispose]() {
      ecr.destroy()
      secrets.destroy()
    },
  }
}
