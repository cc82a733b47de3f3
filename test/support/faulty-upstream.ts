import { randomBytes } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { type Answer, failure, give, text } from './faulty-answer.ts'
import { Gate, type TokenPolicy } from './faulty-auth.ts'
import type { Blob, Image, Index, StoredManifest } from './faulty-content.ts'
import { type Fault, Faults, type RequestKind, readRequest, type Seen } from './faulty-fault.ts'

export * from './faulty-content.ts'
export type { Fault, RequestKind, Seen, TokenPolicy }

export type UpstreamSettings = {
  /** Serves TLS with this key and certificate, in PEM. */
  tls?: { key: string; cert: string }
  /** What its URL calls it, for whoever has somebody who knows that name; else its address. */
  name?: string
  /** Whether the referrers API exists; by default it does. */
  referrers?: boolean
  /** Entries per page of tags and referrers, whatever the client asks for. */
  pageSize?: number
}

type Repository = { blobs: Map<string, Blob>; manifests: Map<string, StoredManifest>; tags: Map<string, string> }
type Signed = { blob: Blob; left: number }

/**
 * A registry whose every answer can be made to fail. Requests are counted, images live in memory:
 *
 *     await using upstream = await startUpstream()
 *     const { layers } = upstream.addImage('library/nginx', 'latest', image())
 *     upstream.fault('blob', { resetAfter: 1000, times: 1 })
 *     …
 *     expect(upstream.requests('GET', 'blob')).toHaveLength(2)
 */
export async function startUpstream(settings: UpstreamSettings = {}): Promise<FaultyUpstream> {
  const upstream = new FaultyUpstream(settings)
  await upstream.comeUp()
  return upstream
}

export class FaultyUpstream implements AsyncDisposable {
  readonly settings: UpstreamSettings
  readonly log: Seen[] = []
  /** Connections that were opened, ever. */
  connections = 0
  readonly #gate = new Gate()
  readonly #faults = new Faults()
  readonly #repositories = new Map<string, Repository>()
  readonly #signed = new Map<string, Signed>()
  readonly #arrivals = new EventEmitter().setMaxListeners(0)
  #cdn: { host: FaultyUpstream; uses: number } | undefined
  #server: Server | undefined
  #port = 0

  constructor(settings: UpstreamSettings) {
    this.settings = settings
  }

  /** The origin: scheme, host and port. */
  get url(): string {
    return `${this.settings.tls ? 'https' : 'http'}://${this.host}`
  }

  get host(): string {
    return `${this.settings.name ?? '127.0.0.1'}:${this.#port}`
  }

  // What it holds

  addBlob(repository: string, blob: Blob): Blob {
    this.#repository(repository).blobs.set(blob.digest, blob)
    return blob
  }

  /** Under its digest and, where one is given, the tag. A tag that was there moves. */
  addManifest<M extends StoredManifest>(repository: string, tag: string | undefined, manifest: M): M {
    const { manifests, tags } = this.#repository(repository)
    manifests.set(manifest.digest, manifest)
    if (tag !== undefined) tags.set(tag, manifest.digest)
    return manifest
  }

  /** With its config and layers. */
  addImage(repository: string, tag: string | undefined, image: Image): Image {
    for (const blob of [image.config, ...image.layers]) this.addBlob(repository, blob)
    return this.addManifest(repository, tag, image)
  }

  /** With all its images. */
  addIndex(repository: string, tag: string | undefined, index: Index): Index {
    for (const child of index.manifests) {
      if ('layers' in child) this.addImage(repository, undefined, child as Image)
      else this.addManifest(repository, undefined, child)
    }
    return this.addManifest(repository, tag, index)
  }

  removeTag(repository: string, tag: string): void {
    this.#repository(repository).tags.delete(tag)
  }

  removeManifest(repository: string, digest: string): void {
    this.#repository(repository).manifests.delete(digest)
  }

  removeBlob(repository: string, digest: string): void {
    this.#repository(repository).blobs.delete(digest)
  }

  // How it behaves

  /**
   * Arms a fault for requests of a kind, or of all kinds with `*`. Faults that match at once are merged; requests that
   * are refused for want of a credential use none up.
   */
  fault(kind: RequestKind | '*', fault: Fault): void {
    this.#faults.arm(kind, fault)
  }

  heal(): void {
    this.#faults.clear()
  }

  /** Tokens of its own, or those of another upstream that requires its own. */
  requireToken(policy: TokenPolicy = {}, issuer: FaultyUpstream = this): void {
    this.#gate.requireToken({ realm: `${issuer.url}/token`, ...policy }, issuer.#gate)
  }

  requireBasic(username: string, password: string): void {
    this.#gate.requireBasic(username, password)
  }

  requireNothing(): void {
    this.#gate.open()
  }

  revokeTokens(): void {
    this.#gate.revokeTokens()
  }

  get tokens(): string[] {
    return this.#gate.tokens
  }

  /** Redirects blobs to signed URLs of `host`, each of which works for `uses` requests and answers 403 afterwards. */
  signBlobUrls(host: FaultyUpstream, uses = Number.POSITIVE_INFINITY): void {
    this.#cdn = { host, uses }
  }

  /** Refuses connections, and breaks those that are open. `comeUp` listens on the same port again. */
  async goDown(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (!server) return
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  }

  async comeUp(): Promise<void> {
    const answer = (request: IncomingMessage, response: ServerResponse) => void this.#answer(request, response)
    const { tls } = this.settings
    const server = tls ? createTlsServer(tls, answer) : createServer(answer)
    server.on('connection', (socket) => {
      socket.on('error', () => {})
      this.connections++
    })
    server.listen(this.#port, '127.0.0.1')
    await once(server, 'listening')
    this.#port = (server.address() as AddressInfo).port
    this.#server = server
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.goDown()
  }

  // What it saw

  /** The requests so far, in order; all of them without arguments. `reference` is a tag or digest. */
  requests(method?: string, kind?: RequestKind, reference?: string): Seen[] {
    return this.log.filter(
      (seen) =>
        (method === undefined || seen.method === method) &&
        (kind === undefined || seen.kind === kind) &&
        (reference === undefined || seen.reference === reference),
    )
  }

  /** Waits for the request number `count` of this sort. */
  async seen(count: number, method?: string, kind?: RequestKind, reference?: string): Promise<Seen> {
    for (;;) {
      const found = this.requests(method, kind, reference)[count - 1]
      if (found) return found
      await once(this.#arrivals, 'request')
    }
  }

  forget(): void {
    this.log.length = 0
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => {})
    const seen = readRequest(request)
    this.log.push(seen)
    this.#arrivals.emit('request')
    const refusal = seen.kind === 'token' || seen.kind === 'signed' ? undefined : this.#gate.refuse(seen, this.url)
    const fault = refusal ? {} : this.#faults.take(seen)
    await give(response, seen, refusal ?? this.#right(seen), fault).catch(() => response.destroy())
  }

  /** The answer of a registry in good health. */
  #right(seen: Seen): Answer {
    const repository = this.#repositories.get(seen.repository)
    if (seen.kind === 'ping') return text(200, '{}')
    if (seen.kind === 'token') return this.#gate.issue(seen)
    if (seen.kind === 'signed') return this.#redeem(seen)
    if (!repository) return failure(404, 'NAME_UNKNOWN')
    if (seen.kind === 'manifest') return manifestAnswer(repository, seen.reference)
    if (seen.kind === 'blob') return this.#blobAnswer(repository, seen.reference)
    if (seen.kind === 'tags')
      return this.#page(seen, [...repository.tags.keys()].sort(), (tags) => ({ name: seen.repository, tags }))
    if (seen.kind === 'referrers' && this.settings.referrers !== false) return this.#referrersAnswer(repository, seen)
    return failure(404, 'NOT_FOUND')
  }

  #blobAnswer({ blobs }: Repository, digest: string): Answer {
    const blob = blobs.get(digest)
    if (!blob) return failure(404, 'BLOB_UNKNOWN')
    if (!this.#cdn) return blobAnswer(blob)
    const signature = randomBytes(8).toString('hex')
    this.#cdn.host.#signed.set(signature, { blob, left: this.#cdn.uses })
    return {
      status: 307,
      headers: { location: `${this.#cdn.host.url}/signed/${signature}?X-Amz-Signature=${signature}` },
    }
  }

  #redeem(seen: Seen): Answer {
    const signed = this.#signed.get(seen.reference)
    if (!signed || signed.left === 0) return failure(403, 'AccessDenied')
    if (seen.headers.authorization) return failure(400, 'OnlyOneAuthMechanismAllowed')
    signed.left--
    return blobAnswer(signed.blob)
  }

  #referrersAnswer({ manifests }: Repository, seen: Seen): Answer {
    const referrers = [...manifests.values()].flatMap(({ descriptor, bytes }) => {
      const { subject, artifactType, annotations } = JSON.parse(bytes.toString())
      return subject?.digest === seen.reference ? [{ ...descriptor, artifactType, annotations }] : []
    })
    const document = (manifests: unknown[]) => ({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests,
    })
    return this.#page(seen, referrers, document, 'application/vnd.oci.image.index.v1+json')
  }

  #page<T>(seen: Seen, all: T[], document: (page: T[]) => unknown, type = 'application/json'): Answer {
    const query = new URL(seen.url, this.url).searchParams
    const size = this.settings.pageSize ?? all.length
    const from = Number(query.get('from') ?? 0)
    const link = from + size < all.length ? { link: `<${seen.path}?from=${from + size}>; rel="next"` } : {}
    return text(200, JSON.stringify(document(all.slice(from, from + size))), { 'content-type': type, ...link })
  }

  #repository(name: string): Repository {
    const known = this.#repositories.get(name)
    if (known) return known
    const made = { blobs: new Map(), manifests: new Map(), tags: new Map() }
    this.#repositories.set(name, made)
    return made
  }
}

const blobAnswer = (blob: Blob): Answer => ({
  status: 200,
  headers: { 'content-type': 'application/octet-stream', 'docker-content-digest': blob.digest },
  content: blob,
})

function manifestAnswer({ manifests, tags }: Repository, reference: string): Answer {
  const manifest = manifests.get(tags.get(reference) ?? reference)
  if (!manifest) return failure(404, 'MANIFEST_UNKNOWN')
  const { bytes, digest, mediaType: type } = manifest
  const content = { digest, size: bytes.length, slice: bytes.subarray.bind(bytes), bytes: () => bytes }
  return { status: 200, headers: { 'content-type': type, 'docker-content-digest': digest }, content }
}
