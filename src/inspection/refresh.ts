import { type Metadata, tagKey } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError, unavailable } from '../oci/errors.ts'
import type { Registry } from '../oci/registry.ts'
import type { Images } from '../repositories/images.ts'
import { named, type PlaceOf } from '../repositories/named.ts'
import type { Settings } from '../repositories/settings.ts'
import { assertAllowed, type Rule } from '../rules/rule.ts'

export type RefreshOptions = {
  placeOf: PlaceOf
  metadata: Pick<Metadata, 'tags'>
  images: Pick<Images, 'tagged'>
  settings: Pick<Settings, 'isImmutable'>
  registryOf: (rule: Rule) => Registry
  offline: boolean
}

export type Refreshed = {
  repository: string
  tag: string
  /** Where it pointed before; absent where it was not cached. */
  before?: Digest
  now: Digest
}

/**
 * Asks upstream where a tag points, and follows it there. Its layers are fetched when somebody pulls. Throws what keeps
 * it from being checked or followed; the tag then points where it did.
 */
export async function refresh(text: string, options: RefreshOptions): Promise<Refreshed> {
  const { rule, repository, upstreamRepository, tag = 'latest', digest } = await named(text, options.placeOf)
  if (digest) throw refusal('a digest never moves: there is nothing to check')
  if (!rule) throw refusal(`no rule leads to ${repository}: there is no upstream to ask`)
  if (options.offline) throw refusal('this instance is offline: no upstream is asked')
  assertAllowed(rule, upstreamRepository)
  const before = (await options.images.tagged(repository, tag))?.digest
  if (before && (await options.settings.isImmutable(repository, tag))) {
    throw refusal(`${repository}:${tag} is immutable here: it stays where it points`)
  }
  const manifest = await options
    .registryOf(rule)
    .manifest({ repository, tag }, { refresh: true })
    .catch((cause: unknown) => {
      if (!(cause instanceof RegistryError)) throw cause
      const { kind, code, message } = cause
      throw new RegistryError(kind, code, `${repository}:${tag} could not be checked: ${message}`, { cause })
    })
  const now = manifest.descriptor.digest
  if ((await options.metadata.tags.get(tagKey(repository, tag)))?.digest !== now) {
    throw unavailable(`${repository}:${tag} points to ${now} upstream, which could not be stored`)
  }
  return { repository, tag, ...(before && { before }), now }
}

const refusal = (message: string) => new RegistryError('invalid', 'UNSUPPORTED', message)
