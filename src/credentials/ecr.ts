import { unavailable } from '../oci/errors.ts'
import { handlerFor, type Way } from './aws-handler.ts'
import type { Credential, Credentials } from './credentials.ts'
import { KeptCredentials, type Lease } from './kept-credentials.ts'

export type EcrOptions = {
  /** By default those in the upstream's host. */
  region?: string
  registryId?: string
}

export type LeaseOptions = {
  /** What stands between us and AWS at present; absent, nothing. */
  way?: (() => Promise<Way>) | undefined
  /** Milliseconds of a clock that never goes back. */
  now?: () => number
}

const hourMs = 3_600_000
const patienceMs = 10_000
const registryHost = /^(\d{12})\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)$/

/** The password of a private Amazon ECR registry: good for twelve hours, and renewed an hour before they are over. */
export function ecrCredentials(
  upstreamHost: string,
  options: EcrOptions = {},
  { way = async () => ({}), now }: LeaseOptions = {},
): Credentials {
  const [, registryId, region] = registryHost.exec(upstreamHost) ?? []
  const found = { ...(registryId && { registryId }), ...(region && { region }), ...options }
  return new KeptCredentials(async () => fetchPassword(found, await way()), now)
}

async function fetchPassword({ region, registryId }: EcrOptions, way: Way): Promise<Lease> {
  const { ECRClient, GetAuthorizationTokenCommand } = await import('@aws-sdk/client-ecr')
  const client = new ECRClient({ requestHandler: handlerFor(way), ...(region && { region }) })
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
