import type { Digest } from '../oci/digest.ts'
import { corrupt, isKind, manifestUnknown, nameUnknown, unavailable } from '../oci/errors.ts'
import { isIndex, mediaTypes } from '../oci/manifest.ts'
import type { RangeSpec } from '../oci/range.ts'
import { type Reference, referrersTag } from '../oci/reference.ts'
import type {
  BlobRead,
  Descriptor,
  Manifest,
  Page,
  Pull,
  Referrer,
  ReferrerList,
  Registry,
  Resolved,
  TagPage,
} from '../oci/registry.ts'
import { Client, type ClientOptions } from './client.ts'
import { quirks } from './dialect.ts'
import { documentIn, pages, referrersIn, tagsIn } from './lists.ts'
import { getManifest, headManifest } from './manifests.ts'
import { openBlob, statBlob } from './opening.ts'
import { ResumingBody } from './resume.ts'

export type UpstreamOptions = ClientOptions

const maxTagPage = 8 * 1024 * 1024
/** More than any registry is known to have in one repository. */
const maxTags = 500_000
const maxReferrersPage = 4 * 1024 * 1024

/**
 * The remote registry that a rule leads to. Repositories are named as upstream names them. Signals of pulls end what
 * they started at once: their `TimeoutError` becomes `unavailable`, any other reason is rethrown. Its owner disposes
 * it, which breaks transfers that are under way.
 */
export class Upstream implements Registry, AsyncDisposable {
  readonly #client: Client

  constructor(options: UpstreamOptions) {
    this.#client = new Client(options)
  }

  async resolve(reference: Reference, pull?: Pull): Promise<Resolved> {
    const descriptor = await headManifest(this.#client, reference, pull)
    return descriptor ? { descriptor } : getManifest(this.#client, reference, pull)
  }

  async manifest(reference: Reference, pull?: Pull): Promise<Manifest> {
    return getManifest(this.#client, reference, pull)
  }

  async stat(repository: string, digest: Digest, pull?: Pull): Promise<Descriptor> {
    return statBlob(this.#client, repository, digest, pull)
  }

  /** The signal of the pull ends the wait for the headers; the body has its own. */
  async blob(repository: string, digest: Digest, pull?: Pull & { range?: RangeSpec }): Promise<BlobRead> {
    const client = this.#client
    const requestId = pull?.requestId
    const done = await client.limits.transfer(pull)
    const first = await openBlob(client, repository, digest, pull?.range, pull).catch((error: unknown) => {
      done()
      throw error
    })
    const body = new ResumingBody({
      first,
      reopen: (start, end, signal) => {
        const again = { ...(signal && { signal }), ...(requestId && { requestId }) }
        return openBlob(client, repository, digest, { start, end }, again)
      },
      pause: (attempt, signal) => client.pause(attempt, signal),
      done,
      upstream: client.host,
      requestId,
    })
    return { descriptor: first.descriptor, ...(pull?.range && { range: first.range }), body }
  }

  /** Asks for nothing, to learn whether upstream is there and takes our credential. Throws where it does not. */
  async check(pull?: Pull): Promise<void> {
    const url = new URL('/v2/', this.#client.rule.upstream)
    const repository = 'library/alpine' // tokens are for a repository; this one need not be there
    const { incoming } = await this.#client.ask({ kind: 'ping', method: 'GET', url, repository, headers: {}, pull })
    await incoming.drop()
    if (incoming.status !== 200) throw unavailable(`${this.#client.host} answered ${incoming.status}`)
  }

  /** Reads the whole list: upstreams differ in how they order and page it. */
  async tags(repository: string, page: Page = {}, pull?: Pull): Promise<TagPage> {
    const { rule } = this.#client
    const { tagPageSize } = quirks[rule.dialect]
    const url = new URL(`/v2/${repository}/tags/list`, rule.upstream)
    if (tagPageSize !== undefined) url.searchParams.set('n', String(tagPageSize))
    const found = new Set<string>()
    const question = { kind: 'tags', url, repository, accept: 'application/json', maxPage: maxTagPage, pull } as const
    for await (const document of pages(this.#client, { ...question, unknown: nameUnknown(repository) })) {
      for (const tag of tagsIn(document)) found.add(tag)
      if (found.size > maxTags) throw corrupt(`${this.#client.host} sent more than ${maxTags} tags`)
    }
    const { n = Number.POSITIVE_INFINITY, last } = page
    const rest = [...found].sort().filter((tag) => last === undefined || tag > last)
    return { tags: rest.slice(0, n), more: n > 0 && rest.length > n }
  }

  async referrers(repository: string, subject: Digest, pull?: Pull): Promise<ReferrerList> {
    const { dialect } = this.#client.rule
    const listed = quirks[dialect].referrersApi ? await this.#listedReferrers(repository, subject, pull) : undefined
    const referrers = listed ?? (await this.#taggedReferrers(repository, subject, pull))
    if (!referrers) throw manifestUnknown(repository, `referrers of ${subject}`)
    return { referrers }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client[Symbol.asyncDispose]()
  }

  /** `undefined` where upstream does not have the API; registries without it answer in many ways. */
  async #listedReferrers(repository: string, subject: Digest, pull?: Pull): Promise<Referrer[] | undefined> {
    const url = new URL(`/v2/${repository}/referrers/${subject}`, this.#client.rule.upstream)
    const question = { kind: 'referrers', url, repository, accept: mediaTypes.ociIndex, pull } as const
    const unknown = manifestUnknown(repository, subject)
    const found: Referrer[] = []
    try {
      for await (const document of pages(this.#client, { ...question, maxPage: maxReferrersPage, unknown })) {
        // Registries written in Go say null where the list is empty.
        if (document.manifests !== null && !Array.isArray(document.manifests)) return undefined
        found.push(...referrersIn(document))
      }
      return found
    } catch (error) {
      if (isKind(error, 'unknown', 'corrupt')) return undefined
      throw error
    }
  }

  /** https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#unavailable-referrers-api */
  async #taggedReferrers(repository: string, subject: Digest, pull?: Pull): Promise<Referrer[] | undefined> {
    try {
      const manifest = await getManifest(this.#client, { repository, tag: referrersTag(subject) }, pull)
      if (!isIndex(manifest.descriptor.mediaType)) return undefined
      return referrersIn(documentIn(manifest.bytes, this.#client.host))
    } catch (error) {
      if (isKind(error, 'unknown')) return undefined
      throw error
    }
  }
}
