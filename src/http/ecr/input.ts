import { z } from 'zod'
import { AwsError, invalidParameter } from './errors.ts'

const segments = '[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*(\\/[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*)*'
const prefixPattern = new RegExp(`^(${segments}\\/?|ROOT)$`)
const secretArnPattern =
  /^arn:aws(-\w+)*:secretsmanager:[a-zA-Z0-9-:]+:secret:ecr-pullthroughcache\/[a-zA-Z0-9/_+=.@-]+$/

/** Members of the operations, with the patterns and limits of Amazon ECR's service model. */
export const registryId = z.string().regex(/^[0-9]{12}$/)

export const repositoryName = z
  .string()
  .min(2)
  .max(256)
  .regex(new RegExp(`^${segments}$`))

export const isRepositoryName = (text: string): boolean => repositoryName.safeParse(text).success

/** A slash at its end is assumed always, so that one that is written means nothing. */
const prefixOf = (min: number, max: number) =>
  z
    .string()
    .min(min)
    .max(max)
    .regex(prefixPattern)
    .transform((text) => text.replace(/\/$/, ''))

export const prefix = prefixOf(2, 30)

export const templatePrefix = prefixOf(1, 256)

export const credentialArn = z.string().min(50).max(612).regex(secretArnPattern)

export const customRoleArn = z.string().max(2048)

export const pageSize = z.int().min(1).max(1000)

export const nextToken = z.string().max(1024)

/**
 * Reads the input of an operation. A member that is null is as good as absent, as AWS's clients have it:
 * https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
 */
export function parseInput(body: Uint8Array): unknown {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body)
    return withoutNulls(JSON.parse(text || '{}'), maxDepth)
  } catch {
    throw new AwsError('SerializationException', 'The body is not JSON') // the parser's message quotes the text
  }
}

/** Deeper than any input is. */
const maxDepth = 16

/** `JSON.parse` could do it by the way, and would take a hundred times as long for a long list. */
function withoutNulls(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null || depth === 0) return value
  if (Array.isArray(value)) {
    for (const entry of value) withoutNulls(entry, depth - 1)
    return value
  }
  for (const [name, member] of Object.entries(value)) {
    if (member === null) Reflect.deleteProperty(value, name)
    else withoutNulls(member, depth - 1)
  }
  return value
}

/** An input as an operation takes it. Throws `AwsError` for one that is not of that form. */
export function readInput<S extends z.ZodType>(form: S, input: unknown): z.output<S> {
  const { success, data, error } = form.safeParse(input)
  if (success) return data
  throw inputError(error.issues, input)
}

/** What is wrong with an input, in AWS's words. No value is quoted. */
export function inputError(issues: readonly z.core.$ZodIssue[], input: unknown): AwsError {
  const [issue] = issues
  if (!issue || issue.path.length === 0) return new AwsError('SerializationException', 'The input is no JSON object')
  const name = issue.path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
    .join('')
    .slice(1)
  const value = issue.path.reduce<unknown>((tree, part) => (Object(tree) as Record<PropertyKey, unknown>)[part], input)
  if (issue.code === 'invalid_type' && value !== undefined && value !== null) {
    return new AwsError('SerializationException', `The value at '${name}' is not of the type that it should have`)
  }
  return invalidParameter(name, value === undefined || value === null ? 'Member must not be null' : constraintOf(issue))
}

function constraintOf(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_format':
      return `must satisfy regular expression '${String(issue.pattern ?? issue.format).replace(/^\/|\/[a-z]*$/g, '')}'`
    case 'too_small':
      return `Member must have ${measureOf(issue.origin)} greater than or equal to ${issue.minimum}`
    case 'too_big':
      return `Member must have ${measureOf(issue.origin)} less than or equal to ${issue.maximum}`
    case 'invalid_value':
      return `Member must satisfy enum value set: [${issue.values.join(', ')}]`
    default:
      return issue.message
  }
}

const measureOf = (origin: string): string => (origin === 'string' || origin === 'array' ? 'length' : 'value')
