/** What went wrong, in the few words callers branch on. One function per face turns a kind into its protocol. */
export type Kind =
  | 'unknown'
  | 'invalid'
  | 'unauthorized'
  | 'denied'
  | 'unsupported'
  | 'exists'
  | 'range'
  | 'throttled'
  | 'unavailable'
  | 'corrupt'
  | 'internal'

/** The codes of the OCI distribution specification, and UNAVAILABLE for the 5xx answers it leaves open. */
export type Code =
  | 'BLOB_UNKNOWN'
  | 'DENIED'
  | 'DIGEST_INVALID'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'RANGE_INVALID'
  | 'TOOMANYREQUESTS'
  | 'UNAUTHORIZED'
  | 'UNAVAILABLE'
  | 'UNSUPPORTED'

export type RegistryErrorOptions = {
  cause?: unknown
  /** How long the caller should wait before it asks again, in milliseconds. */
  retryAfterMs?: number
  /** The upstream did not answer in time, as opposed to answering badly or not being there. */
  timedOut?: boolean
  /** The whole size in bytes of what a range was asked of; only with kind `range`. */
  size?: number
}

/**
 * The one error of the domain. `message` is written for the client: it never holds a secret, a signed URL or a body
 * that came from upstream. What only the log may see goes into `cause`.
 */
export class RegistryError extends Error {
  override readonly name = 'RegistryError'
  readonly kind: Kind
  readonly code: Code
  readonly retryAfterMs: number | undefined
  readonly timedOut: boolean
  readonly size: number | undefined

  constructor(kind: Kind, code: Code, message: string, options: RegistryErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.kind = kind
    this.code = code
    this.retryAfterMs = options.retryAfterMs
    this.timedOut = options.timedOut ?? false
    this.size = options.size
  }
}

export const isKind = (error: unknown, ...kinds: Kind[]): error is RegistryError =>
  error instanceof RegistryError && kinds.includes(error.kind)

export const nameUnknown = (repository: string) =>
  new RegistryError('unknown', 'NAME_UNKNOWN', `repository ${repository} is not served here`)

export const manifestUnknown = (repository: string, reference: string) =>
  new RegistryError('unknown', 'MANIFEST_UNKNOWN', `manifest ${reference} is unknown in ${repository}`)

export const blobUnknown = (repository: string, digest: string) =>
  new RegistryError('unknown', 'BLOB_UNKNOWN', `blob ${digest} is unknown in ${repository}`)

export const nameInvalid = (message: string) => new RegistryError('invalid', 'NAME_INVALID', message)

export const digestInvalid = (message: string) => new RegistryError('invalid', 'DIGEST_INVALID', message)

export const unsupported = (message: string) => new RegistryError('unsupported', 'UNSUPPORTED', message)

export const denied = (message: string, options?: RegistryErrorOptions) =>
  new RegistryError('denied', 'DENIED', message, options)

export const throttled = (message: string, options?: RegistryErrorOptions) =>
  new RegistryError('throttled', 'TOOMANYREQUESTS', message, options)

export const unavailable = (message: string, options?: RegistryErrorOptions) =>
  new RegistryError('unavailable', 'UNAVAILABLE', message, options)

export const corrupt = (message: string, options?: RegistryErrorOptions) =>
  new RegistryError('corrupt', 'UNAVAILABLE', message, options)

export const rangeInvalid = (size: number) =>
  new RegistryError('range', 'RANGE_INVALID', `the range lies outside of the ${size} bytes`, { size })
