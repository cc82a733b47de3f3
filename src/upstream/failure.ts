import { RegistryError, unavailable } from '../oci/errors.ts'

const timeouts = new Set(['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'ETIMEDOUT'])
const resets = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'])

/** What undici says where a proxy answers by itself. */
const refusedByProxy = /: Proxy (?:response|Authentication Required) \((\d{3})\)/

/**
 * What a transfer that broke means to the domain. Of the cause only code and message are kept: a parser error of undici
 * carries the bytes it choked on, which may be anything.
 */
export function failureOf(error: unknown, host: string): RegistryError {
  if (error instanceof RegistryError) return error
  const code = codeOf(error)
  const cause = Object.assign(new Error(`${code}: ${error instanceof Error ? error.message : 'unknown'}`), { code })
  const [, status] = refusedByProxy.exec(cause.message) ?? []
  if (status !== undefined) return unavailable(`the proxy does not lead to ${host} (${status})`, { cause })
  if (timeouts.has(code)) return unavailable(`${host} did not answer in time`, { cause, timedOut: true })
  return unavailable(`${host} cannot be reached`, { cause })
}

/** Whether the connection broke, as it does when a kept one was closed by the other side: worth another try. */
export const wasReset = (error: unknown): boolean => error instanceof RegistryError && resets.has(codeOf(error.cause))

/** What the abort of `signal` means: its own time-out is an upstream too slow, anything else is the caller's will. */
export function reasonOf(signal: AbortSignal, host: string): unknown {
  const { reason } = signal
  const late = reason instanceof Error && reason.name === 'TimeoutError'
  return late ? unavailable(`${host} did not answer in time`, { timedOut: true }) : reason
}

const codeOf = (error: unknown): string => {
  if (!(error instanceof Error)) return 'unknown'
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}
