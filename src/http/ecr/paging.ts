import { invalidParameter } from './errors.ts'

export type PageRequest = { nextToken?: string | undefined; maxResults?: number | undefined }

const defaultPageSize = 100

/** A page of `entries`, which are in the order of their keys, and the token of the next one where there are more. */
export function pageOf<T>(
  entries: readonly T[],
  keyOf: (entry: T) => string,
  { nextToken, maxResults = defaultPageSize }: PageRequest,
): { page: T[]; nextToken?: string } {
  const after = nextToken === undefined ? undefined : keyIn(nextToken)
  const rest = after === undefined ? entries : entries.filter((entry) => keyOf(entry) > after)
  const page = rest.slice(0, maxResults)
  const last = page.at(-1)
  if (last === undefined || page.length === rest.length) return { page }
  return { page, nextToken: Buffer.from(`${marker}${keyOf(last)}`).toString('base64url') }
}

/** Tokens say what they are, so that other text is told from them. */
const marker = 'after:'

function keyIn(token: string): string {
  const text = Buffer.from(token, 'base64url').toString()
  if (!text.startsWith(marker)) throw invalidParameter('nextToken', 'must be a token that was given before')
  return text.slice(marker.length)
}
