import { RegistryError } from '../../oci/errors.ts'

/** The most entries that a page holds, and how many it holds where none are asked for. */
const maxEntries = 10_000

export type PageQuery = { n: number; last?: string }

/**
 * Reads `n` and `last`. More than the most is served as the most. Throws `invalid` for an `n` that is no count.
 *
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-tags
 */
export function parsePage(query: URLSearchParams): PageQuery {
  const asked = query.get('n')
  if (asked !== null && !/^\d+$/.test(asked)) throw new RegistryError('invalid', 'UNSUPPORTED', 'n is a count')
  const n = asked === null ? maxEntries : Math.min(Number(asked), maxEntries)
  const last = query.get('last')
  return last === null || last === '' ? { n } : { n, last }
}

/** The Link to the page after one that ended with `last`: relative to the host, in the shape that the client used. */
export function nextLink(path: string, n: number, last: string, namespace: string | undefined): string {
  const query = new URLSearchParams({ n: String(n), last, ...(namespace !== undefined && { ns: namespace }) })
  return `<${path}?${query}>; rel="next"`
}
