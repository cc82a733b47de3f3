import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'

export type RequestKind = 'ping' | 'manifest' | 'blob' | 'tags' | 'referrers' | 'token' | 'signed' | 'other'

/** A request as the upstream saw it. */
export type Seen = {
  method: string
  kind: RequestKind
  /** Without the query. */
  path: string
  /** With it. */
  url: string
  headers: IncomingHttpHeaders
  repository: string
  /** The tag or digest. */
  reference: string
  /** Body bytes handed to the socket so far. */
  sent: number
  /** The status that was answered; 0 before it was. */
  status: number
}

/** What goes wrong, and when. Without a `when`, `method` or `times` it goes wrong each time. */
export type Fault = {
  times?: number
  /** Leaves that many matching requests alone first. */
  after?: number
  method?: string
  when?: (seen: Seen) => boolean

  // Before the headers
  delayMs?: number
  /** Answers once the promise is settled. */
  until?: Promise<unknown>
  /** Accepts the request and says nothing for ever. */
  hang?: boolean
  /** Breaks the connection instead of answering. */
  reset?: boolean
  /** Written to the socket as it stands, instead of an answer. The socket is closed after it. */
  raw?: string

  // Instead of the true answer
  status?: number
  body?: string | Uint8Array
  /** The Location of a redirect. */
  redirect?: string | ((seen: Seen) => string)

  // Headers; `null` leaves one out
  headers?: Record<string, string | null>

  // The body
  framing?: 'length' | 'chunked' | 'close'
  /** Breaks the connection after that many bytes. */
  resetAfter?: number
  /** Closes the connection in good order after that many bytes. */
  endAfter?: number
  /** Sends that many bytes and no more, and keeps the connection open. */
  stallAfter?: number
  /** Sends that many bytes, and the rest once `resume` is settled. */
  pauseAfter?: number
  resume?: Promise<unknown>
  /** Sends the byte at this offset of the whole wrong. */
  corruptAt?: number
  /** Bytes sent beyond those declared. */
  surplus?: number
  /** Answers a range with the whole. */
  ignoreRange?: boolean
  /** What is declared as Content-Range, whatever is sent. */
  contentRange?: string | null
  /** Body bytes per write, with `dripMs` between them. */
  dripBytes?: number
  dripMs?: number
  /** Written to the idle connection right after the answer. */
  unsolicited?: string
}

type Armed = { kind: RequestKind | '*'; fault: Fault; skip: number; left: number }

/** The faults in force. Those that match a request are merged, later ones over earlier ones. */
export class Faults {
  #armed: Armed[] = []

  arm(kind: RequestKind | '*', fault: Fault): void {
    this.#armed.push({ kind, fault, skip: fault.after ?? 0, left: fault.times ?? Number.POSITIVE_INFINITY })
  }

  clear(): void {
    this.#armed = []
  }

  take(seen: Seen): Fault {
    let merged: Fault = {}
    for (const armed of this.#armed) {
      const { kind, fault } = armed
      const matches =
        (kind === '*' || kind === seen.kind) &&
        (fault.method === undefined || fault.method === seen.method) &&
        (fault.when === undefined || fault.when(seen))
      if (!matches || armed.left === 0) continue
      if (armed.skip > 0) {
        armed.skip--
        continue
      }
      armed.left--
      merged = { ...merged, ...fault, headers: { ...merged.headers, ...fault.headers } }
    }
    return merged
  }
}

export function readRequest(request: IncomingMessage): Seen {
  const { method = '', url = '', headers } = request
  const path = url.split('?', 1)[0] ?? ''
  const match = /^\/v2\/(.+)\/(manifests|blobs|tags|referrers)\/([^/]+)$/.exec(path)
  const base = {
    method,
    path,
    url,
    headers,
    sent: 0,
    status: 0,
    repository: match?.[1] ?? '',
    reference: match?.[3] ?? '',
  }
  const kinds = { manifests: 'manifest', blobs: 'blob', tags: 'tags', referrers: 'referrers' } as const
  if (match) return { ...base, kind: kinds[match[2] as keyof typeof kinds] }
  if (path === '/v2/') return { ...base, kind: 'ping' }
  if (path === '/token') return { ...base, kind: 'token' }
  if (path.startsWith('/signed/')) return { ...base, kind: 'signed', reference: path.slice('/signed/'.length) }
  return { ...base, kind: 'other' }
}
