import { unavailable } from '../oci/errors.ts'
import { handlerFor, type Way } from './aws-handler.ts'
import type { Credential, Credentials, LocalSecrets, SecretFault } from './credentials.ts'
import { KeptCredentials, type Lease } from './kept-credentials.ts'

export type SecretOptions = {
  /** Looked at before AWS is asked. */
  local?: LocalSecrets | undefined
  /** What stands between us and AWS at present; absent, nothing. */
  way?: (() => Promise<Way>) | undefined
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
export function secretsManagerCredentials(secretArn: string, { now, ...from }: SecretOptions = {}): Credentials {
  return new KeptCredentials(async () => {
    try {
      return await leaseOf(secretArn, from)
    } catch (cause) {
      throw unavailable('the credential cannot be read from Secrets Manager', { cause })
    }
  }, now)
}

/** The whole ARN of a secret that is a credential, or what is wrong with it as one. Keeps nothing. */
export async function lookUpSecret(
  secretArn: string,
  from: SecretOptions = {},
): Promise<{ arn: string } | { fault: SecretFault }> {
  try {
    const { arn } = await leaseOf(secretArn, from)
    return { arn }
  } catch (error) {
    return { fault: error instanceof UnusableSecret ? error.fault : 'inaccessible' }
  }
}

async function leaseOf(secretArn: string, { local, way }: SecretOptions): Promise<Lease & { arn: string }> {
  const kept = keptSecret(secretArn, local)
  if (kept) return { credential: credentialIn(kept.value), lifeMs: 0, arn: kept.arn }
  const { value, arn } = await fetchSecret(secretArn, (await way?.()) ?? {})
  return { credential: credentialIn(value), lifeMs, arn }
}

type FoundSecret = { value: string; arn: string }

function keptSecret(secretArn: string, local: LocalSecrets | undefined): FoundSecret | undefined {
  try {
    const [arn, value] = [local?.find(secretArn)?.arn, local?.valueOf(secretArn)]
    return arn === undefined || value === undefined ? undefined : { arn, value }
  } catch (error) {
    throw new UnusableSecret('unreadable', error instanceof Error ? error.message : 'unknown')
  }
}

async function fetchSecret(secretArn: string, way: Way): Promise<FoundSecret> {
  const { GetSecretValueCommand, SecretsManagerClient } = await import('@aws-sdk/client-secrets-manager')
  const region = secretArn.split(':')[3]
  const client = new SecretsManagerClient({ requestHandler: handlerFor(way), ...(region && { region }) })
  try {
    const command = new GetSecretValueCommand({ SecretId: secretArn })
    const answer = await client.send(command, { abortSignal: AbortSignal.timeout(patienceMs) })
    const { SecretString: value = '', ARN: arn = secretArn } = answer
    return { value, arn }
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
