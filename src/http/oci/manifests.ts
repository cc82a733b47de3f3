import type { Descriptor, Outcome } from '../../oci/registry.ts'
import type { Exchange } from '../exchange.ts'
import { repeatableMs } from '../prepared.ts'
import type { Source } from '../source.ts'
import { cacheHeaders } from './cache-status.ts'
import { etagOf, noneMatchHits } from './conditions.ts'
import { respond } from './respond.ts'
import type { To } from './route.ts'

/** A manifest as it is stored, whatever `Accept` says: a digest has one media type. */
export async function answerManifest(exchange: Exchange, { reference }: To<'manifest'>, source: Source) {
  const { registry, pull, pulled } = source
  if (exchange.isHead) {
    const { descriptor, outcome } = await registry.resolve(reference, pull)
    return send(exchange, descriptor, outcome)
  }
  const { descriptor, bytes, outcome } = await registry.manifest(reference, pull)
  const response = await send(exchange, descriptor, outcome, bytes)
  if (exchange.answered) pulled(descriptor.digest)
  return response
}

function send(exchange: Exchange, { digest, mediaType, size }: Descriptor, outcome?: Outcome, bytes?: Uint8Array) {
  exchange.facts.outcome = outcome
  const headers = { 'Docker-Content-Digest': digest, ETag: etagOf(digest), ...cacheHeaders(outcome) }
  if (noneMatchHits(exchange.header('if-none-match'), digest)) return respond(exchange, { status: 304, headers })
  return respond(exchange, {
    status: 200,
    headers: { ...headers, 'Content-Type': mediaType },
    length: size,
    ...(bytes && { body: bytes }),
    repeatableMs: repeatableMs(outcome),
  })
}
