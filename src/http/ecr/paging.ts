import { invalidParameter } from './errors.ts'

export type PageRequest = { nextToken?: string | undefined; maxResults?: number | undefined }

export const defaultPageSize = 100

/** A page of `entries`, which are in the order of their keys, and the token of the next one where there are more. */
export function pageOf<T>(
  entries: readonly T[],
  keyOf: (entry: T) => string,
  { nextToken, maxResults = defaultPageSize }: PageRequest,
): { page: T[]; nextToken?: string } {
  const after = keyBefore(nextToken)
  const rest = after === undefined ? entries : entries.filter((entry) => keyOf(entry) > after)
  const page = rest.slice(0, maxResults)
  const last = page.at(-1)
  if (last === undefined || page.length === rest.length) return { page }
  return { page, nextToken: tokenAfter(keyOf(last)) }
}

/** The token of the page that begins after `key`. */
export const tokenAfter = (key: string): string => Buffer.from(`${marker}${key}`).toString('base64url')

/** Tokens say what they are, so that other text is told from them. */
const marker = 'after:'

/** The key that a page begins after. Throws `InvalidParameterException` for what `tokenAfter` did not make. */
export function keyBefore(token: string | undefined): string | undefined {
  if (token === undefined) return undefined
  const text = Buffer.from(token, 'base64url').toString()
  if (!text.startsWith(marker)) throw invalidParameter('nextToken', 'must be a token that was given before')
  return text.slice(marker.length)
}
