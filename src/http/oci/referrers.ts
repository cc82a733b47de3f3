import { mediaTypes } from '../../oci/manifest.ts'
import type { Exchange } from '../exchange.ts'
import type { Source } from '../source.ts'
import { cacheHeaders } from './cache-status.ts'
import { respondJson } from './respond.ts'
import type { To } from './route.ts'

/** https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-referrers */
export async function answerReferrers(exchange: Exchange, route: To<'referrers'>, { registry, pull }: Source) {
  const { referrers, outcome } = await registry.referrers(route.name.repository, route.digest, pull)
  exchange.facts.outcome = outcome
  const artifactType = route.query.get('artifactType')
  const manifests =
    artifactType === null ? referrers : referrers.filter((referrer) => referrer.artifactType === artifactType)
  return respondJson(
    exchange,
    200,
    { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests },
    {
      'Content-Type': mediaTypes.ociIndex,
      ...(artifactType !== null && { 'OCI-Filters-Applied': 'artifactType' }),
      ...cacheHeaders(outcome),
    },
  )
}
