import type { Exchange } from '../exchange.ts'
import type { Source } from '../source.ts'
import { cacheHeaders } from './cache-status.ts'
import { nextLink, parsePage } from './paging.ts'
import { respondJson } from './respond.ts'
import type { To } from './route.ts'

export async function answerTags(exchange: Exchange, { name, query }: To<'tags'>, { registry, pull }: Source) {
  const page = parsePage(query)
  const { tags, more, outcome } = await registry.tags(name.repository, page, pull)
  exchange.facts.outcome = outcome
  const last = tags.at(-1)
  return respondJson(
    exchange,
    200,
    { name: name.written, tags },
    {
      ...cacheHeaders(outcome),
      ...(more && last !== undefined && { Link: nextLink(`${name.path}/tags/list`, page.n, last, name.namespace) }),
    },
  )
}
