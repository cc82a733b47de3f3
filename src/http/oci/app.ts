import { Hono } from 'hono/tiny'
import type { Authority, Caller } from '../../access/authority.ts'
import { denied, unsupported } from '../../oci/errors.ts'
import { referenceText } from '../../oci/reference.ts'
import type { Repositories } from '../../repositories/repositories.ts'
import type { RuleBook } from '../../rules/rule-book.ts'
import type { Authentication } from '../auth.ts'
import type { Exchange, HttpEnv } from '../exchange.ts'
import { type SourceOptions, sourceFor } from '../source.ts'
import { answerBlob } from './blobs.ts'
import { answerCatalog } from './catalog.ts'
import { answerManifest } from './manifests.ts'
import { isApiPath, parseRoute, type Route } from './names.ts'
import { answerReferrers } from './referrers.ts'
import { respondJson } from './respond.ts'
import { answerTags } from './tags.ts'

export type OciOptions = SourceOptions & {
  book: RuleBook
  repositories: Repositories
  authentication: Authentication
}

/** The OCI distribution API, read-only: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md */
export function ociApp(options: OciOptions): Hono<HttpEnv> {
  const { book, repositories } = options
  const app = new Hono<HttpEnv>()
  app.all('*', async ({ env: { exchange } }, next) => {
    const { method, url: target = '' } = exchange.incoming
    if (!isApiPath(target, book)) return next()
    if (method !== 'GET' && method !== 'HEAD') throw unsupported('this registry is read-only')
    const caller = await options.authentication.puller(exchange)
    const route = await parseRoute(target, book, (repository) => repositories.has(repository))
    if (!route) return next()
    return answer(exchange, caller, route, options)
  })
  return app
}

/** What AWS calls the right to ask for it. */
const actions = {
  manifest: 'ecr:BatchGetImage',
  tags: 'ecr:BatchGetImage',
  referrers: 'ecr:BatchGetImage',
  blob: 'ecr:GetDownloadUrlForLayer',
  catalog: 'ecr:DescribeRepositories',
} as const

async function answer(exchange: Exchange, caller: Caller, route: Route, options: OciOptions): Promise<Response> {
  exchange.facts.route = route.kind
  const { authority, repositories } = options
  if (route.kind === 'base') return respondJson(exchange, 200, {})
  if (route.kind === 'catalog') {
    await assertMay(authority, caller, actions.catalog, authority.repositoryArn('*'))
    return answerCatalog(exchange, route, repositories)
  }
  if (route.kind !== 'tags') {
    exchange.facts.reference = route.kind === 'manifest' ? referenceText(route.reference) : route.digest
  }
  const { name } = route
  exchange.facts.repository = name.repository
  await assertMay(authority, caller, actions[route.kind], authority.repositoryArn(name.repository))
  if (name.namespace !== undefined) exchange.outgoing.setHeader('OCI-Namespace', name.namespace)
  const source = await sourceFor(exchange, caller, name, options)
  switch (route.kind) {
    case 'manifest':
      return answerManifest(exchange, route, source)
    case 'blob':
      return answerBlob(exchange, route, source)
    case 'tags':
      return answerTags(exchange, route, source)
    case 'referrers':
      return answerReferrers(exchange, route, source)
  }
}

async function assertMay(authority: Authority, caller: Caller, action: string, resource: string): Promise<void> {
  const refusal = await authority.refusal(caller, action, resource)
  if (refusal !== undefined) throw denied(refusal)
}
