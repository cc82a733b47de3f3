import type { LayerTokens } from '../../access/layer-tokens.ts'
import { denied } from '../../oci/errors.ts'
import type { Authentication } from '../auth.ts'
import type { Exchange } from '../exchange.ts'
import { answerBlob } from '../oci/blobs.ts'
import { nameOf } from '../oci/names.ts'
import { type SourceOptions, sourceFor } from '../source.ts'
import type { OnRepositoryOptions } from './on-repository.ts'

export type DownloadsOptions = Omit<OnRepositoryOptions, 'registryId'> &
  SourceOptions & { authentication: Authentication; layerTokens: LayerTokens }

/** Where `GetDownloadUrlForLayer` leads. A token, which is a secret, is all that stands behind it. */
export const downloadPath = '/layers/:token{[\\w-]+\\.[\\w-]+\\.[\\w-]+}'

/** One blob for whoever has its URL, as long as whoever asked for the URL may have it. Throws `denied`. */
export async function answerDownload(exchange: Exchange, token: string, options: DownloadsOptions): Promise<Response> {
  const { book, repositories, authority, authentication, layerTokens } = options
  exchange.facts.route = 'layer'
  const grant = await layerTokens.verify(token)
  if (!grant) throw denied('the URL is none of ours, or not any more')
  const { repository, digest, key } = grant
  exchange.facts.repository = repository
  exchange.facts.reference = digest
  const caller = authentication.holderOf(exchange, key)
  const refusal = await authority.refusal(caller, 'ecr:GetDownloadUrlForLayer', authority.repositoryArn(repository))
  if (refusal !== undefined) throw denied(refusal)
  const name = await nameOf(repository, book, (other) => repositories.has(other))
  const source = await sourceFor(exchange, caller, name, options)
  return answerBlob(exchange, { kind: 'blob', query: new URLSearchParams(), name, digest }, source)
}
