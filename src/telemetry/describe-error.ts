import { RegistryError } from '../oci/errors.ts'

/** What the log says of an error. */
export type ErrorDescription = {
  message: string
  name?: string
  code?: string
  kind?: string
  /** Of errors that nobody foresaw: neither ours nor those of the system or the network, which have a code. */
  stack?: string
  cause?: ErrorDescription
}

/** An error of another process, as it was described there. */
export class DescribedError extends Error {
  override readonly name = 'DescribedError'
  readonly description: ErrorDescription

  constructor(description: ErrorDescription) {
    super(description.message)
    this.description = description
  }
}

const maxLength = 512
const maxStackLength = 4096
const maxCauses = 5

/** Text for the log: bounded, on one line where JSON escapes it, and harmless to a terminal. */
export const printable = (text: string, length = maxLength): string =>
  text.slice(0, length).replace(/[\x7f-\x9f\u2028\u2029]/g, '\ufffd')

/** Leaves out what may be secret in a URL: its user, its query and its fragment. */
export const withoutSecrets = (text: string): string =>
  text.replace(/\b([a-z][a-z0-9+.-]*:\/\/)(?:[^\s/@"'<>]*@)?([^\s?#"'<>]*)(?:[?#][^\s"'<>]*)?/gi, '$1$2')

/**
 * An error and what caused it, by fields that are known to be harmless: others hold requests, headers and sockets.
 */
export function describeError(error: unknown, causes = maxCauses): ErrorDescription {
  if (!(error instanceof Error)) return { message: `a value that is no error was thrown (${typeof error})` }
  if (error instanceof DescribedError) return error.description
  const { code } = error as { code?: unknown }
  const ofOurs = error instanceof RegistryError
  const foreseen = ofOurs || (typeof code === 'string' && !code.startsWith('ERR_'))
  const innermost = causes === 0 || error.cause === undefined
  return {
    message: safe(error.message),
    ...(error.name !== 'Error' && { name: safe(error.name) }),
    ...((typeof code === 'string' || typeof code === 'number') && { code: safe(String(code)) }),
    ...(ofOurs && { kind: error.kind }),
    ...(!foreseen && error.stack && { stack: printable(withoutSecrets(error.stack), maxStackLength) }),
    ...(!innermost && { cause: describeError(error.cause, causes - 1) }),
  }
}

const safe = (text: string): string => printable(withoutSecrets(text))
