import { isDigest } from '../oci/digest.ts'
import { corrupt, type RegistryError } from '../oci/errors.ts'
import { isTag } from '../oci/reference.ts'
import type { Pull, Referrer } from '../oci/registry.ts'
import { assertFound } from './answers.ts'
import type { Client, Question } from './client.ts'
import type { Incoming } from './incoming.ts'

export type ListQuestion = {
  kind: Question['kind']
  url: URL
  repository: string
  accept: string
  /** The longest page, in bytes. */
  maxPage: number
  /** Thrown where the upstream has no such list. */
  unknown: RegistryError
  pull: Pull | undefined
}

const maxPages = 200
const maxBytes = 32 * 1024 * 1024

/** The documents of a list that upstream serves in pages, in order. Pages are followed on its own origin only. */
export async function* pages(client: Client, question: ListQuestion): AsyncGenerator<Record<string, unknown>> {
  const { kind, repository, accept, maxPage, unknown, pull } = question
  const visited = new Set<string>()
  let bytes = 0
  const done = await client.limits.list(pull)
  try {
    for (let url: URL | undefined = question.url; url; ) {
      if (visited.has(url.href) || visited.size === maxPages) throw corrupt(`${client.host} sent a list without end`)
      visited.add(url.href)
      const page = { kind, method: 'GET', url, repository, headers: { accept }, pull } as const
      const { incoming, foreign } = await client.ask(page)
      await assertFound(incoming, foreign, unknown)
      const body = await incoming.read(Math.min(maxPage, maxBytes - bytes))
      bytes += body.length
      yield documentIn(body, client.host)
      url = nextPage(incoming, url)
    }
  } finally {
    done()
  }
}

/** The tags in a page; what cannot be a tag is left out. */
export const tagsIn = (page: Record<string, unknown>): string[] =>
  listIn(page, 'tags').filter((tag): tag is string => typeof tag === 'string' && isTag(tag))

/** The referrers in an index; what is no sound descriptor is left out. */
export const referrersIn = (page: Record<string, unknown>): Referrer[] => listIn(page, 'manifests').flatMap(referrerIn)

export function documentIn(body: Uint8Array, host: string): Record<string, unknown> {
  try {
    const document: unknown = JSON.parse(Buffer.from(body).toString())
    if (typeof document === 'object' && document !== null) return document as Record<string, unknown>
  } catch {
    // The parser's message quotes the body.
  }
  throw corrupt(`${host} sent no JSON object where a list is expected`)
}

/** https://www.rfc-editor.org/rfc/rfc8288#section-3 */
function nextPage(incoming: Incoming, from: URL): URL | undefined {
  const header = incoming.header('link') ?? ''
  const target = /<([^<>]{1,4096})>\s*;[^<]*\brel="?next"?/i.exec(header)?.[1]
  const next = target === undefined ? undefined : URL.parse(target, from)
  return next?.origin === from.origin ? next : undefined
}

function listIn(document: Record<string, unknown>, key: string): unknown[] {
  const list = document[key]
  return Array.isArray(list) ? list : []
}

function referrerIn(entry: unknown): Referrer[] {
  const { mediaType, digest, size, artifactType, annotations } = Object(entry) as Record<string, unknown>
  if (typeof mediaType !== 'string' || typeof digest !== 'string' || !isDigest(digest)) return []
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return []
  return [
    {
      mediaType,
      digest,
      size,
      ...(typeof artifactType === 'string' && { artifactType }),
      ...(isAnnotations(annotations) && { annotations }),
    },
  ]
}

const isAnnotations = (value: unknown): value is Record<string, string> =>
  typeof value === 'object' &&
  value !== null &&
  !Array.isArray(value) &&
  Object.values(value).every((text) => typeof text === 'string')
