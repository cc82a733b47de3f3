import { unavailable } from '../oci/errors.ts'
import type { Rule } from '../rules/rule.ts'
import type { Incoming } from './incoming.ts'
import type { Request } from './transport.ts'

const redirects = new Set([301, 302, 303, 307, 308])
const maxHops = 5

/** An answer, and whether another origin than the rule's own gave it. */
export type Answer = { incoming: Incoming; foreign: boolean }

/**
 * Sends a request and follows redirects by hand. Once a request left its origin it carries no `authorization`, even
 * if it comes back. Throws `unavailable` for a redirect that leads nowhere or where this rule must not go.
 */
export async function follow(
  rule: Rule,
  request: Request,
  authorization: string | undefined,
  send: (request: Request) => Promise<Incoming>,
): Promise<Answer> {
  const home = request.url.origin
  const visited = new Set<string>()
  let url = request.url
  let left = false
  for (;;) {
    visited.add(url.href)
    const headers = left || authorization === undefined ? request.headers : { ...request.headers, authorization }
    const incoming = await send({ ...request, url, headers })
    if (!redirects.has(incoming.status)) return { incoming, foreign: url.origin !== home }
    const target = targetOf(incoming, url)
    await incoming.drop()
    assertMayFollow(rule, url, target)
    if (visited.has(target.href) || visited.size > maxHops) throw unavailable(`${url.host} redirects without end`)
    left ||= target.origin !== url.origin
    url = target
  }
}

function targetOf(incoming: Incoming, from: URL): URL {
  const target = URL.parse(incoming.header('location') ?? '', from)
  if (!target || incoming.header('location') === undefined) {
    incoming.destroy()
    throw unavailable(`${from.host} redirects to nowhere`)
  }
  target.hash = ''
  return target
}

/** Whether addresses are public is checked where they are connected to. */
function assertMayFollow(rule: Rule, from: URL, to: URL): void {
  if (to.protocol !== 'https:' && to.protocol !== 'http:') throw refused(from, 'to another protocol')
  if (from.protocol === 'https:' && to.protocol === 'http:') throw refused(from, 'from https to http')
  if (to.username !== '' || to.password !== '') throw refused(from, 'with a credential in the URL')
  const own = new URL(rule.upstream).origin
  const listed =
    rule.redirectHosts === undefined || rule.redirectHosts.some((host) => new URL(host).origin === to.origin)
  if (to.origin !== own && !listed) throw refused(from, 'to a host that the rule does not list', to.host)
}

const refused = (from: URL, how: string, host?: string) =>
  unavailable(`${from.host} redirects ${how}`, host === undefined ? {} : { cause: new Error(host) })
