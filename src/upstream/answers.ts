import { corrupt, denied, type RegistryError, unavailable } from '../oci/errors.ts'
import type { Incoming } from './incoming.ts'

/**
 * Passes an answer that holds all of what was asked for. Another one is ended, and thrown as what it means: `unknown`
 * for a 404, `denied` for the upstream's own refusal, `unavailable` for that of a host it redirects to, `corrupt` for
 * anything else. Bodies of errors are not read: nothing of them reaches clients.
 */
export async function assertFound(incoming: Incoming, foreign: boolean, unknown: RegistryError): Promise<void> {
  const { status, host } = incoming
  if (status === 200) return
  await incoming.drop()
  if (status === 404 || status === 410) throw unknown
  if (status === 403)
    throw foreign ? unavailable(`${host} refuses what it was redirected to`) : denied(`${host} denies access`)
  throw corrupt(`${host} answered ${status}`)
}
