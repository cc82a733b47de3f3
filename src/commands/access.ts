import { KeyRing } from '../access/keys.ts'
import { Tokens } from '../access/tokens.ts'
import type { Config } from '../config.ts'
import { Authentication } from '../http/auth.ts'

/** Who gets in, and by what. */
export type Access = { keys: KeyRing; tokens: Tokens; authentication: Authentication }

/** Throws for keys that cannot be read, and what the system throws. */
export async function openAccess({ accessKeys, auth, dataDir, publicUrl, registry }: Config): Promise<Access> {
  const keys = await KeyRing.open({ configured: accessKeys, dataDir })
  const tokens = await Tokens.open({ dataDir, registryId: registry.id, keys })
  const authentication = new Authentication({
    mode: auth.mode,
    registryId: registry.id,
    publicUrl,
    keys,
    tokens,
    ...(registry.strictRegion && { region: registry.region }),
  })
  return { keys, tokens, authentication }
}
