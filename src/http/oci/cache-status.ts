import type { OutgoingHttpHeaders } from 'node:http'
import type { Outcome } from '../../oci/registry.ts'

/**
 * How a cache took part in an answer, in the words of https://www.rfc-editor.org/rfc/rfc9211, and the warning that a
 * stale answer carries (https://www.rfc-editor.org/rfc/rfc7234#section-5.5) where that is amiss and not what the rule
 * wants. Nothing where no cache did.
 */
export function cacheHeaders(outcome: Outcome | undefined): OutgoingHttpHeaders {
  if (!outcome) return {}
  const { cache, reason = 'unavailable', ttlMs } = outcome
  const ttl = ttlMs === undefined || !Number.isFinite(ttlMs) ? '' : `; ttl=${Math.floor(ttlMs / 1000)}`
  switch (cache) {
    case 'hit':
      return { 'Cache-Status': `cistern; hit${ttl}` }
    case 'revalidated':
      return { 'Cache-Status': `cistern; fwd=stale${ttl}; detail=revalidated` }
    case 'stale':
      return {
        'Cache-Status': `cistern; hit${ttl}; detail=${reason}`,
        ...(reason !== 'revalidating' && { Warning: `299 cistern "stale: upstream ${reason}"` }),
      }
    case 'miss':
      return { 'Cache-Status': `cistern; fwd=uri-miss${ttl}` }
    case 'collapsed':
      return { 'Cache-Status': `cistern; fwd=uri-miss${ttl}; collapsed` }
  }
}
