import { unavailable } from '../oci/errors.ts'
import type { Credential, Credentials } from './credentials.ts'
import { KeptCredentials, type Lease } from './kept-credentials.ts'

const lifeMs = 5 * 60_000
const patienceMs = 10_000

/**
 * A secret of AWS Secrets Manager in the form that ECR's pull-through cache wants: `username` and `accessToken`. Also
 * read is `password`. Region and endpoint follow the ARN and the usual variables, access the usual chain.
 *
 * https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache-creating-secret.html
 */
export function secretsManagerCredentials(secretArn: string, now?: () => number): Credentials {
  return new KeptCredentials(() => fetchSecret(secretArn), now)
}

async function fetchSecret(secretArn: string): Promise<Lease> {
  const { GetSecretValueCommand, SecretsManagerClient } = await import('@aws-sdk/client-secrets-manager')
  const region = secretArn.split(':')[3]
  const client = new SecretsManagerClient(region ? { region } : {})
  try {
    const command = new GetSecretValueCommand({ SecretId: secretArn })
    const { SecretString } = await client.send(command, { abortSignal: AbortSignal.timeout(patienceMs) })
    return { credential: credentialIn(SecretString ?? ''), lifeMs }
  } catch (error) {
    const cause = new Error(error instanceof Error ? `${error.name}: ${error.message}` : 'unknown')
    throw unavailable('the credential cannot be read from AWS Secrets Manager', { cause })
  } finally {
    client.destroy()
  }
}

function credentialIn(text: string): Credential {
  const { username, accessToken, password = accessToken } = Object(parse(text)) as Record<string, unknown>
  if (typeof username !== 'string' || typeof password !== 'string') {
    throw new Error('the secret is not a JSON object of username and accessToken')
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
