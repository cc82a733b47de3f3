import { type Digest, parseDigest } from './digest.ts'
import { manifestUnknown, nameInvalid } from './errors.ts'

/** A tag or a digest in a repository. */
export type Reference = { repository: string; tag: string } | { repository: string; digest: Digest }

const repositoryGrammar = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/
const tagGrammar = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/
const maxRepositoryLength = 255

/** https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests */
export const isRepository = (text: string): boolean =>
  text.length <= maxRepositoryLength && repositoryGrammar.test(text)

export const isTag = (text: string): boolean => tagGrammar.test(text)

/** Throws `invalid`. */
export function parseRepository(text: string): string {
  if (!isRepository(text)) throw nameInvalid('a repository is lower-case segments of letters, digits and . _ -')
  return text
}

/**
 * Reads the last segment of a manifest path. What has a colon can only be a digest. A text that no tag can be is not
 * malformed but unknown: that is what the specification's tests expect of a tag that does not exist.
 */
export function parseReference(repository: string, text: string): Reference {
  if (text.includes(':')) return { repository, digest: parseDigest(text) }
  if (!isTag(text)) throw manifestUnknown(repository, 'of that name')
  return { repository, tag: text }
}

/** An image as people write it. */
export type ImageName = { name: string; tag?: string; digest?: Digest }

/** Reads `name`, `name:tag`, `name@digest` or `name:tag@digest`. Throws `invalid`. */
export function parseImageName(text: string): ImageName {
  const at = text.indexOf('@')
  const digest = at < 0 ? undefined : parseDigest(text.slice(at + 1))
  const named = at < 0 ? text : text.slice(0, at)
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1)
  const name = parseRepository(colon < 0 ? named : named.slice(0, colon))
  const tag = colon < 0 ? undefined : named.slice(colon + 1)
  if (tag !== undefined && !isTag(tag)) throw nameInvalid('a tag is up to 128 letters, digits and . _ -')
  return { name, ...(tag !== undefined && { tag }), ...(digest && { digest }) }
}

/** The tag or digest alone, as clients write it. */
export const referenceText = (reference: Reference): string =>
  'digest' in reference ? reference.digest : reference.tag

/**
 * The tag under which clients and registries without the referrers API keep the referrers of a subject.
 *
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#referrers-tag-schema
 */
export function referrersTag(subject: Digest): string {
  const [algorithm, hex] = subject.split(':') as [string, string]
  return `${algorithm.slice(0, 32)}-${hex.slice(0, 64)}`
}
