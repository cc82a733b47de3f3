import type { OutgoingHttpHeaders } from 'node:http'
import { type Kind, RegistryError } from '../../oci/errors.ts'
import { publish } from '../../telemetry/events.ts'
import type { Exchange } from '../exchange.ts'
import { respondJson } from './respond.ts'

/** What clients are told when an upstream is out of quota: wait (429), or go elsewhere (503). */
export type ThrottledStatus = 429 | 503

const statusOf: Record<Kind, number> = {
  unknown: 404,
  invalid: 400,
  unauthorized: 401,
  denied: 403,
  unsupported: 405,
  exists: 409,
  range: 416,
  throttled: 429,
  unavailable: 502,
  corrupt: 502,
  internal: 500,
}

const defaultRetryAfterMs = 60_000
const maxMessageLength = 512

/**
 * The one place where a failure becomes an answer. What is no `RegistryError` is a fault of ours: it is announced, and
 * the client learns nothing of it. The client that has left gets nothing.
 *
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes
 */
export async function respondError(exchange: Exchange, cause: unknown, throttledStatus: ThrottledStatus = 429) {
  const { signal, facts, requestId } = exchange
  const error = cause instanceof RegistryError ? cause : new RegistryError('internal', 'UNAVAILABLE', 'internal error')
  if (!signal.aborted) facts.error = cause
  if (!signal.aborted && error !== cause) {
    publish('cistern:fault', { where: 'http', kind: 'internal', message: 'a request failed', requestId, error: cause })
  }
  const status = statusFor(error, throttledStatus)
  const code = status >= 500 ? 'UNAVAILABLE' : error.code
  return respondJson(exchange, status, errorBody(code, error.message), headersFor(error))
}

/** The answer where no route leads. */
export const respondNowhere = (exchange: Exchange) =>
  respondError(exchange, new RegistryError('unknown', 'NAME_UNKNOWN', 'nothing is served under this path'))

/** The body of every error, in the form that the specification gives it. */
export const errorBody = (code: string, message: string) => ({ errors: [{ code, message: printable(message) }] })

function statusFor(error: RegistryError, throttledStatus: ThrottledStatus): number {
  if (error.kind === 'throttled') return throttledStatus
  if (error.kind === 'unavailable' && error.timedOut) return 504
  return statusOf[error.kind]
}

function headersFor({ kind, size, retryAfterMs }: RegistryError): OutgoingHttpHeaders {
  const waitMs = retryAfterMs ?? (kind === 'throttled' ? defaultRetryAfterMs : undefined)
  return {
    ...(waitMs !== undefined && { 'Retry-After': Math.max(1, Math.ceil(waitMs / 1000)) }),
    ...(kind === 'range' && size !== undefined && { 'Content-Range': `bytes */${size}` }),
    ...(kind === 'unsupported' && { Allow: 'GET, HEAD' }),
  }
}

/** Control characters as escapes that a terminal does not obey; no more text than a message needs. */
const printable = (message: string): string =>
  message
    .slice(0, maxMessageLength)
    .replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (char) => `\\u${(char.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`)
