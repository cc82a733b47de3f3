import { unavailable } from '../oci/errors.ts'
import type { Credential, Credentials, LocalSecrets, SecretFault } from './credentials.ts'
import { KeptCredentials, type Lease } from './kept-credentials.ts'

export type SecretOptions = {
  /** Looked at before AWS is asked. */
  local?: LocalSecrets | undefined
  /** Milliseconds of a clock that never goes back. */
  now?: () => number
}

const lifeMs = 5 * 60_000
const patienceMs = 10_000

/** The message tells no part of the secret. */
class UnusableSecret extends Error {
  readonly fault: SecretFault

  constructor(fault: SecretFault, message: string) {
    super(message)
    this.fault = fault
  }
}

/**
 * A secret in the form that ECR's pull-through cache wants: `username` and `accessToken`. Also read is `password`. One
 * that is kept here counts as it stands; else AWS Secrets Manager is asked: region and endpoint follow the ARN and the
 * usual variables, access the usual chain.
 *
 * https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache-creating-secret.html
 */
export function secretsManagerCredentials(secretArn: string, { local, now }: SecretOptions = {}): Credentials {
  return new KeptCredentials(async () => {
    try {
      return await leaseOf(secretArn, local)
    } catch (cause) {
      throw unavailable('the credential cannot be read from Secrets Manager', { cause })
    }
  }, now)
}

/** What is wrong with a secret as a credential; `undefined` where nothing is. Keeps nothing. */
export async function faultOfSecret(secretArn: string, local?: LocalSecrets): Promise<SecretFault | undefined> {
  try {
    await leaseOf(secretArn, local)
    return undefined
  } catch (error) {
    return error instanceof UnusableSecret ? error.fault : 'inaccessible'
  }
}

async function leaseOf(secretArn: string, local: LocalSecrets | undefined): Promise<Lease> {
  const kept = keptValue(secretArn, local)
  if (kept !== undefined) return { credential: credentialIn(kept), lifeMs: 0 }
  return { credential: credentialIn(await fetchSecret(secretArn)), lifeMs }
}

function keptValue(secretArn: string, local: LocalSecrets | undefined): string | undefined {
  try {
    return local?.valueOf(secretArn)
  } catch (error) {
    throw new UnusableSecret('unreadable', error instanceof Error ? error.message : 'unknown')
  }
}

async function fetchSecret(secretArn: string): Promise<string> {
  const { GetSecretValueCommand, SecretsManagerClient } = await import('@aws-sdk/client-secrets-manager')
  const region = secretArn.split(':')[3]
  const client = new SecretsManagerClient(region ? { region } : {})
  try {
    const command = new GetSecretValueCommand({ SecretId: secretArn })
    const { SecretString } = await client.send(command, { abortSignal: AbortSignal.timeout(patienceMs) })
    return SecretString ?? ''
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error('unknown')
    throw new UnusableSecret(faultOf(name), `${name}: ${message}`)
  } finally {
    client.destroy()
  }
}

function faultOf(name: string): SecretFault {
  if (name === 'ResourceNotFoundException') return 'missing'
  return name === 'DecryptionFailure' ? 'unreadable' : 'inaccessible'
}

function credentialIn(text: string): Credential {
  const { username, accessToken, password = accessToken } = Object(parse(text)) as Record<string, unknown>
  if (typeof username !== 'string' || typeof password !== 'string') {
    throw new UnusableSecret('unreadable', 'the secret is not a JSON object of username and accessToken')
  }
  return { username, password }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // the parser's message quotes the secret
  }
}
