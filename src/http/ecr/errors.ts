import { SignatureError } from '../../access/signature-error.ts'
import { RegistryError } from '../../oci/errors.ts'
import { publish } from '../../telemetry/events.ts'
import type { Exchange } from '../exchange.ts'

/** A failure under the name that AWS's clients know. The message is written for the client and quotes no secret. */
export class AwsError extends Error {
  override readonly name = 'AwsError'
  readonly code: string
  readonly status: number

  constructor(code: string, message: string, status = 400) {
    super(message)
    this.code = code
    this.status = status
  }
}

export const invalidParameter = (member: string, constraint: string): AwsError =>
  new AwsError(
    'InvalidParameterException',
    `Invalid parameter at '${member}' failed to satisfy constraint: '${constraint}'`,
  )

export const validation = (message: string): AwsError => new AwsError('ValidationException', message)

export const repositoryNotFound = (repository: string, registryId: string): AwsError =>
  new AwsError(
    'RepositoryNotFoundException',
    `The repository with name '${repository}' does not exist in the registry with id '${registryId}'`,
  )

/** What the client is told of a failure. What is none of its making is announced, and it learns nothing of it. */
export function awsErrorOf(cause: unknown, { signal, facts, requestId }: Exchange): AwsError {
  if (!signal.aborted) facts.error = cause
  if (cause instanceof AwsError) return cause
  if (cause instanceof SignatureError) return new AwsError(cause.name, cause.message)
  if (cause instanceof RegistryError) return new AwsError('ServerException', cause.message, 500)
  if (!signal.aborted) {
    publish('cistern:fault', { where: 'http', kind: 'internal', message: 'a request failed', requestId, error: cause })
  }
  return new AwsError('ServerException', 'These errors are usually caused by a server-side issue.', 500)
}
