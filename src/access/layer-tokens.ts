import { type Digest, isDigest } from '../oci/digest.ts'
import { isRepository } from '../oci/reference.ts'
import type { AccessKey } from './access-key.ts'
import type { TokenSigner } from './token-signer.ts'

/** What may be downloaded: a blob, by the name of a repository of ours. */
export type LayerGrant = { repository: string; digest: Digest }

const download = { audience: 'layer', type: 'cistern-layer+jwt', lifeSeconds: 10 * 60 }

/** Tokens that stand in the URL of one blob, good for ten minutes, while their access key is. */
export class LayerTokens {
  readonly #signer: TokenSigner

  constructor(signer: TokenSigner) {
    this.#signer = signer
  }

  async issue(key: AccessKey, { repository, digest }: LayerGrant): Promise<string> {
    return (await this.#signer.sign(key, download, { repository, digest })).token
  }

  /** `undefined` for what is no token of ours, or not any more. */
  async verify(token: string): Promise<(LayerGrant & { key: AccessKey }) | undefined> {
    const verdict = await this.#signer.verify<LayerGrant>(token, download, ['repository', 'digest'])
    if (verdict.state !== 'valid') return undefined
    const { repository, digest } = verdict.claims
    return isRepository(repository) && isDigest(digest) ? { repository, digest, key: verdict.key } : undefined
  }
}
