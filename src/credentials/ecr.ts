import { unavailable } from '../oci/errors.ts'
import type { Credential, Credentials } from './credentials.ts'
import { KeptCredentials, type Lease } from './kept-credentials.ts'

export type EcrOptions = {
  /** By default those in the upstream's host. */
  region?: string
  registryId?: string
}

const hourMs = 3_600_000
const patienceMs = 10_000
const registryHost = /^(\d{12})\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)$/

/** The password of a private Amazon ECR registry: good for twelve hours, and renewed an hour before they are over. */
export function ecrCredentials(upstreamHost: string, options: EcrOptions = {}, now?: () => number): Credentials {
  const [, registryId, region] = registryHost.exec(upstreamHost) ?? []
  const found = { ...(registryId && { registryId }), ...(region && { region }), ...options }
  return new KeptCredentials(() => fetchPassword(found), now)
}

async function fetchPassword({ region, registryId }: EcrOptions): Promise<Lease> {
  const { ECRClient, GetAuthorizationTokenCommand } = await import('@aws-sdk/client-ecr')
  const client = new ECRClient(region ? { region } : {})
  try {
    const command = new GetAuthorizationTokenCommand(registryId ? { registryIds: [registryId] } : {})
    const { authorizationData = [] } = await client.send(command, { abortSignal: AbortSignal.timeout(patienceMs) })
    const { authorizationToken = '', expiresAt } = authorizationData[0] ?? {}
    const leftMs = expiresAt ? expiresAt.getTime() - Date.now() : 12 * hourMs
    return { credential: decode(authorizationToken), lifeMs: Math.max(leftMs - hourMs, leftMs / 2) }
  } catch (error) {
    const cause = new Error(error instanceof Error ? `${error.name}: ${error.message}` : 'unknown')
    throw unavailable('the credential cannot be had from Amazon ECR', { cause })
  } finally {
    client.destroy()
  }
}

function decode(token: string): Credential {
  const text = Buffer.from(token, 'base64').toString()
  const colon = text.indexOf(':')
  if (colon < 1) throw new Error('the authorization token is not a user and a password')
  return { username: text.slice(0, colon), password: text.slice(colon + 1) }
}
