import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ECRClient, GetAuthorizationTokenCommand } from '@aws-sdk/client-ecr'
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager'

export type TestKey = { accessKeyId: string; secretAccessKey: string }

/** The access key that a first start made. */
export async function firstKey(cistern: { dataDir: string }): Promise<TestKey> {
  const { keys } = JSON.parse(await readFile(join(cistern.dataDir, 'access-keys.json'), 'utf8'))
  return { accessKeyId: keys[0].id, secretAccessKey: keys[0].secret }
}

/** Access keys as the configuration names them, for users with these policies; their secrets are in `directory`. */
export async function accessKeysFor(directory: string, users: Record<string, (string | object)[]>) {
  return Promise.all(
    Object.entries(users).map(async ([user, policies]) => {
      const secretFile = join(directory, `${user}.secret`)
      const { accessKeyId: id, secretAccessKey } = keyOf(user)
      await writeFile(secretFile, secretAccessKey)
      return { id, secretFile, user, policies }
    }),
  )
}

/** The key of a user of `accessKeysFor`. */
export const keyOf = (user: string): TestKey => ({
  accessKeyId: `KEY_${user}`,
  secretAccessKey: `secret-canary-of-${user}`,
})

/** The header with which the holder of a key pulls. */
export async function loginOf(cistern: { url: string }, key: TestKey): Promise<{ authorization: string }> {
  using clients = clientsOf(cistern, key)
  const { authorizationData } = await clients.ecr.send(new GetAuthorizationTokenCommand({}))
  return { authorization: `Basic ${authorizationData?.[0]?.authorizationToken}` }
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
