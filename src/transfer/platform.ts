import type { Listed } from '../oci/content.ts'

/** Whether text names a platform: `os/architecture`, and `/variant` where one is meant. */
export const isPlatform = (text: string): boolean => /^[a-z0-9]+\/[a-z0-9_]+(?:\/[a-z0-9]+)?$/.test(text)

/** A platform that was asked for without a variant is any of its variants. */
export const isOneOf = (platform: string, wanted: readonly string[]): boolean =>
  wanted.some((asked) => platform === asked || platform.startsWith(`${asked}/`))

/** Those entries of an index that are for the platforms, and what tells of these; without platforms, all. */
export function chosen(entries: readonly Listed[], platforms: readonly string[]): Listed[] {
  if (platforms.length === 0) return [...entries]
  const fitting = entries.filter(({ platform }) => platform !== undefined && isOneOf(platform, platforms))
  const digests = new Set(fitting.map(({ digest }) => digest))
  return entries.filter((entry) => fitting.includes(entry) || (entry.about !== undefined && digests.has(entry.about)))
}
