import { contentRange, lengthOf, parseRange } from '../../oci/range.ts'
import type { Outcome } from '../../oci/registry.ts'
import type { Exchange } from '../exchange.ts'
import { repeatableMs } from '../prepared.ts'
import type { Source } from '../source.ts'
import { cacheHeaders } from './cache-status.ts'
import { etagOf, noneMatchHits, rangeApplies } from './conditions.ts'
import { respond } from './respond.ts'
import type { To } from './route.ts'

/** A blob or one range of it. What only looks at a blob, a HEAD or a condition that holds, opens none. */
export async function answerBlob(exchange: Exchange, route: To<'blob'>, { registry, pull }: Source) {
  const { name, digest } = route
  const describe = (outcome: Outcome | undefined) => {
    exchange.facts.outcome = outcome
    return {
      'Docker-Content-Digest': digest,
      ETag: etagOf(digest),
      'Accept-Ranges': 'bytes',
      'Content-Type': 'application/octet-stream',
      ...cacheHeaders(outcome),
    }
  }
  const unchanged = noneMatchHits(exchange.header('if-none-match'), digest)
  if (exchange.isHead || unchanged) {
    const { size, outcome } = await registry.stat(name.repository, digest, pull)
    if (unchanged) return respond(exchange, { status: 304, headers: describe(outcome) })
    const repeatable = { repeatableMs: repeatableMs(outcome) }
    return respond(exchange, { status: 200, headers: describe(outcome), length: size, ...repeatable })
  }
  const asked = rangeApplies(exchange.header('if-range'), digest) ? parseRange(exchange.header('range')) : undefined
  const read = await registry.blob(name.repository, digest, { ...pull, range: asked })
  const { descriptor, range, body, bytes, stored, outcome } = read
  if (bytes && !range) {
    await body[Symbol.asyncDispose]()
    const repeatable = { body: bytes, repeatableMs: repeatableMs(outcome) }
    return respond(exchange, { status: 200, headers: describe(outcome), length: bytes.length, ...repeatable })
  }
  const place = stored && { stored: { digest, size: descriptor.size, ...(range && { range }) } }
  const what = { body, length: range ? lengthOf(range) : descriptor.size, ...place }
  if (!range) {
    const repeatable = place && { repeatableMs: repeatableMs(outcome) }
    return respond(exchange, { status: 200, headers: describe(outcome), ...what, ...repeatable })
  }
  const headers = { ...describe(outcome), 'Content-Range': contentRange(range, descriptor.size) }
  return respond(exchange, { status: 206, headers, ...what })
}
