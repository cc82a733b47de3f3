import { type Metadata, tagKey } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import { isKind, manifestUnknown, nameUnknown } from '../oci/errors.ts'
import { parseImageName, referenceText } from '../oci/reference.ts'
import type { PlaceOf } from '../repositories/named.ts'
import { matches } from '../rules/rule.ts'
import { isCompanionTag } from './companions.ts'
import type { Holdings } from './holdings.ts'
import type { Kinship } from './kinship.ts'

/** An image under one of its names. */
export type Root = { repository: string; digest: Digest; tag?: string }

/** The name in full, by which bundles and their inventories know it. */
export const nameOfRoot = ({ repository, digest, tag }: Root): string =>
  tag === undefined ? `${repository}@${digest}` : `${repository}:${tag}`

export type SelectionOptions = {
  metadata: Pick<Metadata, 'repositories' | 'tags'>
  holdings: Holdings
  placeOf: PlaceOf
  kinshipOf: (repository: string) => Promise<Kinship>
  /** Whether what is about an image counts as an image of its own where nothing asks for it by name. */
  referrers: boolean
}

/**
 * The images that names select, each under each of its names: an image by tag or digest, a repository and all beneath
 * it, or a pattern over repositories or over `repository:tag`. No names select all. Throws `unknown` for a name that
 * selects nothing, `invalid` for what is no name.
 */
export async function select(names: readonly string[], options: SelectionOptions): Promise<Root[]> {
  const roots: Root[] = []
  if (names.length === 0) roots.push(...(await inRepositories(() => true, options)))
  for (const name of names) roots.push(...(await selectedBy(name, options)))
  const unique = new Map(roots.map((root) => [nameOfRoot(root), root]))
  return [...unique].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, root]) => root)
}

async function selectedBy(name: string, options: SelectionOptions): Promise<Root[]> {
  const image = name.includes('*') ? undefined : parseImageName(name)
  if (image && (image.tag !== undefined || image.digest)) return [await imageOf(name, options)]
  const roots = image ? await beneath(name, options) : await matching(name, options)
  if (roots.length === 0) throw nameUnknown(name)
  return roots
}

async function imageOf(name: string, { holdings, placeOf }: SelectionOptions): Promise<Root> {
  const { name: written, tag = '', digest } = parseImageName(name)
  const { repository } = await placeOf(written)
  const image = await (digest ? holdings.images.get(repository, digest) : holdings.images.tagged(repository, tag))
  if (!image) throw manifestUnknown(repository, referenceText(digest ? { repository, digest } : { repository, tag }))
  return { repository, digest: image.digest, ...(digest === undefined && { tag }) }
}

/** By the name of a repository as pulls write it, or by whole segments in front of names as they are stored. */
async function beneath(name: string, options: SelectionOptions): Promise<Root[]> {
  const place = await options.placeOf(name).catch((error: unknown) => {
    if (!isKind(error, 'unknown')) throw error
  })
  const isMeant = (repository: string) =>
    repository === place?.repository || repository === name || repository.startsWith(`${name}/`)
  return inRepositories(isMeant, options)
}

async function matching(pattern: string, options: SelectionOptions): Promise<Root[]> {
  if (!/:[^/]*$/.test(pattern)) return inRepositories((repository) => matches(pattern, repository), options)
  const all = await inRepositories(() => true, options)
  return all.filter((root) => root.tag !== undefined && matches(pattern, nameOfRoot(root)))
}

async function inRepositories(isMeant: (repository: string) => boolean, options: SelectionOptions): Promise<Root[]> {
  const roots: Root[] = []
  for await (const [repository] of options.metadata.repositories.entries()) {
    if (isMeant(repository)) roots.push(...(await rootsIn(repository, options)))
  }
  return roots
}

/** What has a tag, and what stands by itself without one. */
async function rootsIn(repository: string, options: SelectionOptions): Promise<Root[]> {
  const { metadata, holdings, referrers } = options
  const roots: Root[] = []
  const tagged = new Set<Digest>()
  const prefix = tagKey(repository, '')
  for await (const [key] of metadata.tags.entries({ prefix })) {
    const tag = key.slice(prefix.length)
    const image = await holdings.images.tagged(repository, tag)
    if (!image) continue
    tagged.add(image.digest)
    if (referrers || !isCompanionTag(tag)) roots.push({ repository, digest: image.digest, tag })
  }
  const { listed, about } = await options.kinshipOf(repository)
  for await (const { digest } of holdings.images.list(repository)) {
    const alone = !tagged.has(digest) && !listed.has(digest) && (referrers || !about.has(digest))
    if (alone) roots.push({ repository, digest })
  }
  return roots
}
