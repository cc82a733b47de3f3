import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import * as ecr from '@aws-sdk/client-ecr'
import * as secretsManager from '@aws-sdk/client-secrets-manager'

/** What an operation takes, as the SDKs describe it. */
export type Shape =
  | { kind: 'string' | 'number' | 'boolean' | 'blob' }
  | { kind: 'list'; of: Shape }
  | { kind: 'structure'; members: Map<string, Member> }

export type Member = { shape: Shape; required: boolean }

export type Service = 'ecr' | 'secretsmanager'

export type ModelledOperation = {
  service: Service
  name: string
  target: string
  members: Map<string, Member>
  /** The exceptions that its documentation lists. */
  errors: ReadonlySet<string>
}

const services = {
  ecr: { sdk: ecr, package: '@aws-sdk/client-ecr', target: 'AmazonEC2ContainerRegistry_V20150921' },
  secretsmanager: { sdk: secretsManager, package: '@aws-sdk/client-secrets-manager', target: 'secretsmanager' },
} as const

/** Throws where the SDK has no such operation, or describes it in another way than it did. */
export function operationOf(service: Service, name: string): ModelledOperation {
  const { sdk, target } = services[service]
  const shape = shapeOf((sdk as Record<string, unknown>)[`${name}Request$`])
  if (shape.kind !== 'structure') throw new Error(`the input of ${name} is no structure`)
  return { service, name, target: `${target}.${name}`, members: shape.members, errors: errorsOf(service, name) }
}

const scalars: Record<number, 'string' | 'number' | 'boolean' | 'blob'> = {
  0: 'string',
  1: 'number',
  2: 'boolean',
  21: 'blob',
}
const listOf = 64

/** Schemas are numbers for what is simple, and tuples that begin with a number for their kind: 1 a list, 3 a structure. */
function shapeOf(schema: unknown): Shape {
  if (typeof schema === 'function') return shapeOf(schema())
  if (typeof schema === 'number') {
    const kind = scalars[schema]
    return kind ? { kind } : { kind: 'list', of: shapeOf(schema - listOf) }
  }
  if (!Array.isArray(schema)) throw new Error('the SDK has no such schema')
  if (schema.length === 2) return shapeOf(schema[0]) // with traits of the member
  const [kind, , , , content, schemas, required = 0] = schema
  if (kind === 0) return shapeOf(content)
  if (kind === 1) return { kind: 'list', of: shapeOf(content) }
  if (kind !== 3) throw new Error(`a schema is of the unknown kind ${kind}`)
  const members = (content as string[]).map((name, index): [string, Member] => [
    name,
    { shape: shapeOf(schemas[index]), required: index < required },
  ])
  return { kind: 'structure', members: new Map(members) }
}

function errorsOf(service: Service, name: string): ReadonlySet<string> {
  const main = createRequire(import.meta.url).resolve(services[service].package)
  const file = join(dirname(main), '..', 'dist-types', 'commands', `${name}Command.d.ts`)
  const listed = [...readFileSync(file, 'utf8').matchAll(/@throws \{@link (\w+)\}/g)].map(([, error = '']) => error)
  if (listed.length === 0) throw new Error(`the documentation of ${name} lists no exceptions`)
  return new Set(listed)
}
