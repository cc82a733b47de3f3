import { RegistryError } from '../../oci/errors.ts'
import { parseImageName } from '../../oci/reference.ts'
import type { Found } from './references.ts'
import { isRecord } from './yaml.ts'

type Values = Record<string, unknown>

type Conventions = { appVersion: string | undefined; registry: string | undefined; found: Found }

/**
 * The images in the values of a chart: texts under keys that end in `image`, and objects of a `repository` with or
 * without `registry`, `tag` and `digest`. An object without a tag has that of the chart's `appVersion`.
 */
export function imagesInValues(values: Values, appVersion: string | undefined): Found {
  const registry = isRecord(values.global) ? text(values.global.imageRegistry) : undefined
  const found: Found = { references: [], faults: [] }
  walk(values, [], { appVersion, registry, found })
  return found
}

function walk(value: unknown, path: readonly string[], conventions: Conventions): void {
  if (Array.isArray(value)) {
    for (const [index, entry] of value.entries()) walk(entry, [...path, String(index)], conventions)
    return
  }
  if (!isRecord(value)) return
  const image = ofObject(value, path, conventions)
  if (image !== undefined) add(image, path, conventions)
  const taken = image !== undefined && text(value.repository) === undefined ? 'image' : undefined
  for (const [key, member] of Object.entries(value)) {
    const name = /image$/i.test(key) && key !== taken ? text(member) : undefined
    if (name !== undefined) add(withTag(name, value), [...path, key], conventions)
    walk(member, [...path, key], conventions)
  }
}

function ofObject(value: Values, path: readonly string[], { appVersion, registry, found }: Conventions) {
  const repository = text(value.repository) ?? (text(value.registry) && (text(value.name) ?? text(value.image)))
  const isImage = /image$/i.test(path.at(-1) ?? '') || 'tag' in value || 'digest' in value
  if (repository === undefined || !isImage) return undefined
  const host = registry ?? text(value.registry)
  const name = host === undefined || repository.startsWith(`${host}/`) ? repository : `${host}/${repository}`
  const digest = text(value.digest)
  if (digest !== undefined) return `${name}@${digest}`
  const tag = text(value.tag) ?? appVersion
  if (tag !== undefined) return `${name}:${tag}`
  found.faults.push(`${path.join('.')} names ${name} without a tag, and the chart has no appVersion`)
  return undefined
}

/** A text may have its tag beside it. */
function withTag(name: string, beside: Values): string {
  const tag = text(beside.tag) ?? text(beside.imageTag)
  return tag === undefined || /[:@][^/]*$/.test(name) ? name : `${name}:${tag}`
}

function add(image: string, path: readonly string[], { found }: Conventions): void {
  try {
    parseImageName(image)
    found.references.push(image)
  } catch (error) {
    const why = error instanceof RegistryError ? error.message : 'it cannot be read'
    found.faults.push(`${path.join('.')} is ${JSON.stringify(image)}, which is no reference: ${why}`)
  }
}

const text = (value: unknown): string | undefined =>
  (typeof value === 'string' || typeof value === 'number') && String(value) !== '' ? String(value) : undefined
