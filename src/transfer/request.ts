import { type Digest, isDigest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import type { ExportRequest } from './export.ts'
import { isPlatform } from './platform.ts'
import type { WarmRequest } from './warm.ts'

/** What a command asks an instance to export, as it travels. */
export type AskedExport = Omit<ExportRequest, 'since'> & { since: readonly Digest[] }

/** Reads what travelled. Throws `invalid`. */
export function exportRequestOf(asked: unknown): ExportRequest {
  const { names, platforms, referrers, partial, since } = record(asked)
  return {
    names: texts('names', names),
    platforms: platformsOf(platforms),
    referrers: referrers === true,
    partial: partial === true,
    since: new Set(texts('since', since).filter(isDigest)),
  }
}

/** Many at a time are no quicker, and no upstream likes them. */
const maxConcurrency = 64
const maxReferences = 100_000

/** The same of what is asked to be warmed. Throws `invalid`. */
export function warmRequestOf(asked: unknown): WarmRequest {
  const { references, platforms, referrers, concurrency, patienceMs } = record(asked)
  const named = texts('references', references)
  if (named.length > maxReferences) throw invalid(`more than ${maxReferences} images are asked for at once`)
  return {
    references: named,
    platforms: platformsOf(platforms),
    referrers: referrers === true,
    concurrency: wholeNumber('concurrency', concurrency, 1, maxConcurrency),
    patienceMs: wholeNumber('patienceMs', patienceMs, 0, Number.MAX_SAFE_INTEGER),
  }
}

export function wholeNumber(name: string, value: unknown, least: number, most: number): number {
  if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most) return value as number
  throw invalid(`${name} is a whole number from ${least} to ${most}`)
}

/** Throws `invalid` for what is no list of platforms. */
export function platformsOf(value: unknown): string[] {
  const platforms = texts('platforms', value)
  const wrong = platforms.find((text) => !isPlatform(text))
  if (wrong === undefined) return platforms
  throw invalid(`a platform is written like linux/amd64 or linux/arm/v7, and not like ${wrong}`)
}

export function record(value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw invalid('what is asked for is a JSON object')
}

export function texts(name: string, value: unknown): string[] {
  if (Array.isArray(value) && value.every((entry) => typeof entry === 'string')) return value
  throw invalid(`${name} is a list of texts`)
}

export const invalid = (message: string) => new RegistryError('invalid', 'UNSUPPORTED', message)
