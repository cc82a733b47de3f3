import { channel } from 'node:diagnostics_channel'
import type { Digest } from '../oci/digest.ts'
import type { Kind } from '../oci/errors.ts'
import type { Outcome } from '../oci/registry.ts'

/**
 * Facts that the parts of Cistern announce. Publishing costs nothing where nobody listens; the log and the metrics
 * listen. No field ever holds a secret, a query string or a header that a client or an upstream chose.
 */
export type Events = {
  /** A client's request was answered, or its connection broke. */
  'cistern:request': {
    requestId: string
    method: string
    /** The route's name, never the path: it is a metric label. */
    route: string
    /** As the client may see it; absent where the path named nothing. */
    repository?: string
    reference?: string
    upstream?: string
    status: number
    /** Body bytes sent. */
    bytes: number
    durationMs: number
    outcome?: Outcome | undefined
    /** The answer broke off after its headers. */
    aborted: boolean
    client: string
    /** Absent where nobody's identity was decided. */
    principal?: string | undefined
    userAgent: string
    error?: unknown
  }
  /** One request to an upstream, its token server or a redirect target ended. */
  'cistern:upstream': {
    /** The rule's upstream host: a metric label. */
    upstream: string
    kind: 'manifest' | 'blob' | 'tags' | 'referrers' | 'token' | 'ping'
    method: string
    /** Of the answer; 0 where there was none. */
    status: number
    durationMs: number
    requestId?: string | undefined
  }
  /** Body bytes arrived from an upstream. */
  'cistern:pulled': { upstream: string; kind: 'manifest' | 'blob'; bytes: number }
  /** A transfer from an upstream into the store. */
  'cistern:fill': {
    phase: 'started' | 'resumed' | 'committed' | 'failed'
    digest: Digest
    upstream: string
    bytes: number
    requestId?: string | undefined
    error?: unknown
  }
  /** Something is amiss that clients were shielded from, or that an operator should know. One log line each. */
  'cistern:fault': {
    /** The part that met it, as a metric label. */
    where: 'upstream' | 'blobs' | 'metadata' | 'http' | 'credentials' | 'process'
    kind: Kind
    message: string
    upstream?: string
    repository?: string
    reference?: string
    requestId?: string | undefined
    error?: unknown
  }
  /** What an upstream said of its rate limit, in requests per window. */
  'cistern:ratelimit': { upstream: string; limit?: number; remaining?: number; windowMs: number; source?: string }
  /** A question to an upstream began or ceased to wait for its turn under the limits of the rule. */
  'cistern:waiting': { upstream: string; change: 1 | -1 }
  /** Room was made in the store. */
  'cistern:eviction': { images: number; blobs: number; bytes: number }
  /** All of the store was looked at; `healed` of the `damaged` blobs are there again. */
  'cistern:scrub': { checked: number; bytes: number; damaged: number; healed: number; durationMs: number }
  /** The lifecycle policy of a repository was applied; that many images went. */
  'cistern:expiry': { repository: string; images: number; durationMs: number }
  /** A certificate is served by a port; instants are milliseconds since the epoch. `replaced`: in the place of another. */
  'cistern:certificate': { file: string; replaced: boolean; beginsAt: number; expiresAt: number }
  'cistern:breaker': { upstream: string; state: 'closed' | 'open' | 'half-open' }
}

export type EventName = keyof Events

export function publish<N extends EventName>(name: N, event: Events[N]): void {
  const target = channel(name)
  if (target.hasSubscribers) target.publish(event)
}

/** Returns the function that ends the subscription. A listener must not throw. */
export function subscribe<N extends EventName>(name: N, listener: (event: Events[N]) => void): () => void {
  const receive = (event: unknown) => listener(event as Events[N])
  const target = channel(name)
  target.subscribe(receive)
  return () => target.unsubscribe(receive)
}
