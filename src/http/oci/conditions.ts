import type { Digest } from '../../oci/digest.ts'

/** The strong validator of content: its digest. */
export const etagOf = (digest: Digest): string => `"${digest}"`

/**
 * Whether an If-None-Match header names `digest`, so that the client has the content already.
 *
 * https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2
 */
export function noneMatchHits(header: string | undefined, digest: Digest): boolean {
  if (header === undefined) return false
  if (header.trim() === '*') return true
  return header.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etagOf(digest))
}

/**
 * Whether a Range header counts beside this If-Range header. Dates never match: nothing here has one.
 *
 * https://www.rfc-editor.org/rfc/rfc9110#section-13.1.5
 */
export const rangeApplies = (ifRange: string | undefined, digest: Digest): boolean =>
  ifRange === undefined || ifRange.trim() === etagOf(digest)
