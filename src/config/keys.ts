import { z } from 'zod'
import { schema } from './schema.ts'

/** A key that holds one value: `path` as in the file, `[]` for any entry of a list; `default` as one would write it. */
export type Key = { path: string; kind: 'boolean' | 'number' | 'text'; default?: unknown }

/** All keys of the configuration in the order of the schema. */
export const keys: readonly Key[] = keysOf(schema, '')

/** Those that the environment and flags can set: whatever stands in no list. */
export const singleKeys: readonly Key[] = keys.filter(({ path }) => !path.includes('['))

export const environmentName = (path: string): string => `CISTERN_${words(path).join('_').toUpperCase()}`

export const flagName = (path: string): string => words(path).join('-').toLowerCase()

const words = (path: string): string[] => path.split(/\.|(?=[A-Z])/)

function keysOf(type: z.core.$ZodType, path: string, fallback?: unknown): Key[] {
  if (type instanceof z.ZodPrefault) return keysOf(type.def.innerType, path, type.def.defaultValue)
  if (type instanceof z.ZodExactOptional) return keysOf(type.def.innerType, path)
  if (type instanceof z.ZodArray && type.def.element instanceof z.ZodObject)
    return keysOf(type.def.element, `${path}[]`)
  if (type instanceof z.ZodObject) {
    return Object.entries(type.shape).flatMap(([key, inner]) => keysOf(inner, path === '' ? key : `${path}.${key}`))
  }
  const isNumber =
    type instanceof z.ZodNumber || (type instanceof z.ZodLiteral && typeof [...type.values][0] === 'number')
  const kind = type instanceof z.ZodBoolean ? 'boolean' : isNumber ? 'number' : 'text'
  return [{ path, kind, ...(fallback === undefined ? {} : { default: fallback }) }]
}
