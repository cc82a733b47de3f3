import type { Repositories } from '../../repositories/repositories.ts'
import type { Exchange } from '../exchange.ts'
import { nextLink, parsePage } from './paging.ts'
import { respondJson } from './respond.ts'
import type { To } from './route.ts'

/**
 * The repositories that there are, by their names here. Asked through one registry's prefix or namespace, only
 * those below it, by the names that the client would use there.
 */
export async function answerCatalog(exchange: Exchange, route: To<'catalog'>, repositories: Repositories) {
  const { n, last } = parsePage(route.query)
  const prefix = route.rule && route.rule.prefix !== 'ROOT' ? `${route.rule.prefix}/` : ''
  const page = await repositories.list({ n, prefix, ...(last !== undefined && { last: `${prefix}${last}` }) })
  const names = page.repositories.map((repository) => repository.slice(prefix.length))
  const end = names.at(-1)
  return respondJson(
    exchange,
    200,
    { repositories: names },
    page.more && end !== undefined ? { Link: nextLink(route.path, n, end, route.namespace) } : {},
  )
}
