import { KeyRing } from '../access/keys.ts'
import { LayerTokens } from '../access/layer-tokens.ts'
import { PasswordUsers } from '../access/password-users.ts'
import type { PolicyDocument } from '../access/policy-document.ts'
import { loadPolicies } from '../access/policy-reference.ts'
import { TokenSigner } from '../access/token-signer.ts'
import { Tokens } from '../access/tokens.ts'
import type { Config } from '../config.ts'
import { Authentication } from '../http/auth.ts'

/** Who gets in, and by what. Its owner disposes it. */
export type Access = AsyncDisposable & {
  keys: KeyRing
  tokens: Tokens
  layerTokens: LayerTokens
  authentication: Authentication
  /** Of all users with passwords; `undefined` where there are none. */
  passwordPolicies: () => readonly PolicyDocument[] | undefined
  /** Puts the access keys of another configuration in force, and the policies of users with passwords: all or nothing. */
  reload(config: Config): Promise<void>
}

/**
 * `changed` is called after each change of who may come in. Throws for keys, policies and passwords that cannot be read,
 * and what the system throws.
 */
export async function openAccess(config: Config, changed: () => void): Promise<Access> {
  const { accessKeys, auth, dataDir, publicUrl, registry } = config
  const keys = await KeyRing.open({ configured: accessKeys, dataDir, changed })
  const signer = await TokenSigner.open({ dataDir, registryId: registry.id, keys })
  const tokens = new Tokens(signer)
  const passwords = auth.htpasswd && (await PasswordUsers.open(auth.htpasswd))
  const authentication = new Authentication({
    mode: auth.mode,
    registryId: registry.id,
    publicUrl,
    keys,
    tokens,
    ...(passwords && { passwords }),
    ...(registry.strictRegion && { region: registry.region }),
  })
  return {
    keys,
    tokens,
    layerTokens: new LayerTokens(signer),
    authentication,
    passwordPolicies: () => passwords?.policies,
    async reload({ accessKeys, auth: { htpasswd } }) {
      const policies = htpasswd && (await loadPolicies(htpasswd.policies))
      await keys.reload(accessKeys)
      if (policies) passwords?.use(policies)
    },
    async [Symbol.asyncDispose]() {
      await passwords?.[Symbol.asyncDispose]()
    },
  }
}
