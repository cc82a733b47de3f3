import { Hono } from 'hono/tiny'
import type { ClientLimits } from '../../access/client-limits.ts'
import { LimitedRegistry } from '../../access/limited-registry.ts'
import { unsupported } from '../../oci/errors.ts'
import { referenceText } from '../../oci/reference.ts'
import type { Registry } from '../../oci/registry.ts'
import type { Repositories } from '../../repositories/repositories.ts'
import { assertAllowed, type Rule, upstreamHost } from '../../rules/rule.ts'
import type { RuleBook } from '../../rules/rule-book.ts'
import type { Exchange, HttpEnv } from '../exchange.ts'
import { answerBlob } from './blobs.ts'
import { answerCatalog } from './catalog.ts'
import { answerManifest } from './manifests.ts'
import { isApiPath, type Name, parseRoute, type Route } from './names.ts'
import { answerReferrers } from './referrers.ts'
import { respondJson } from './respond.ts'
import type { Source } from './route.ts'
import { answerTags } from './tags.ts'

export type OciOptions = {
  book: RuleBook
  repositories: Repositories
  /** The registry to ask under a rule, by names of ours; without a rule, what is cached. */
  registryOf: (rule: Rule | undefined) => Registry
  limits: ClientLimits
}

/** The OCI distribution API, read-only: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md */
export function ociApp(options: OciOptions): Hono<HttpEnv> {
  const { book, repositories } = options
  const app = new Hono<HttpEnv>()
  app.all('*', async ({ env: { exchange } }, next) => {
    const { method, url: target = '' } = exchange.incoming
    if (!isApiPath(target, book)) return next()
    if (method !== 'GET' && method !== 'HEAD') throw unsupported('this registry is read-only')
    const route = await parseRoute(target, book, (repository) => repositories.has(repository))
    if (!route) return next()
    return answer(exchange, route, options)
  })
  return app
}

async function answer(exchange: Exchange, route: Route, options: OciOptions): Promise<Response> {
  exchange.facts.route = route.kind
  switch (route.kind) {
    case 'base':
      return respondJson(exchange, 200, {})
    case 'catalog':
      return answerCatalog(exchange, route, options.repositories)
    case 'manifest':
      exchange.facts.reference = referenceText(route.reference)
      return asking(exchange, route.name, options, (source) => answerManifest(exchange, route, source))
    case 'blob':
      exchange.facts.reference = route.digest
      return asking(exchange, route.name, options, (source) => answerBlob(exchange, route, source))
    case 'tags':
      return asking(exchange, route.name, options, (source) => answerTags(exchange, route, source))
    case 'referrers':
      exchange.facts.reference = route.digest
      return asking(exchange, route.name, options, (source) => answerReferrers(exchange, route, source))
  }
}

/** What comes before any question about a repository: the same for a cold, a warm and an unknown one. */
function asking(
  { requestId, signal, client, facts, outgoing }: Exchange,
  { rule, repository, upstreamRepository, namespace }: Name,
  { registryOf, limits }: OciOptions,
  handle: (source: Source) => Promise<Response>,
): Promise<Response> {
  facts.repository = repository
  if (namespace !== undefined) outgoing.setHeader('OCI-Namespace', namespace)
  if (rule) {
    facts.upstream = upstreamHost(rule)
    assertAllowed(rule, upstreamRepository)
  }
  const registry = new LimitedRegistry(registryOf(rule), limits, client)
  return handle({ registry, pull: { requestId, signal } })
}
