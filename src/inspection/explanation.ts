import type { Metadata } from '../metadata/metadata.ts'
import { tagKey } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import { isKind } from '../oci/errors.ts'
import { parseImageName } from '../oci/reference.ts'
import type { Registry } from '../oci/registry.ts'
import { type Named, namedIfAny, type PlaceOf } from '../repositories/named.ts'
import type { Settings } from '../repositories/settings.ts'
import { assertAllowed, type Rule, tagTtlMs } from '../rules/rule.ts'
import { type Holdings, isWhole, type Survey } from '../transfer/holdings.ts'
import { credentialNames } from './credential-names.ts'
import type { LastAnswer, LastAnswers } from './last-answers.ts'
import { type Puller, type PullersOptions, pullersOf } from './pullers.ts'

export type ExplainOptions = PullersOptions & {
  placeOf: PlaceOf
  /** Of the rules in force. */
  prefixes: () => string[]
  metadata: Pick<Metadata, 'tags' | 'pulls'>
  holdings: Holdings
  settings: Pick<Settings, 'isImmutable'>
  lastAnswers: LastAnswers
  registryOf: (rule: Rule) => Registry
  offline: boolean
  clock: () => number
}

/** What a pull would do now. */
export type Prospect =
  | 'served'
  | 'served after a check'
  | 'fetched'
  | 'fetched in part'
  | 'unknown'
  | 'kept out by the rule'

/** All instants are milliseconds since the epoch. */
export type Explanation = {
  repository: string
  tag?: string
  digest?: Digest
  /** Where a name leads nowhere: the prefixes that lead somewhere. */
  prefixes?: string[]
  rule?: {
    prefix: string
    source: Rule['source']
    upstream: string
    mirrors?: string[]
    /** As upstream knows it. */
    repository: string
    credentials: string[]
  }
  offline: boolean
  pull: Prospect
  cached?: {
    digest: Digest
    mediaType: string
    whole: boolean
    /** Blobs that are not here. */
    missing: number
    platforms?: { platform: string; digest: Digest; whole: boolean }[]
    pulledAt?: number
  }
  freshness?: { checkedAt: number; movedAt: number; dueAt: number | 'never' }
  lastAnswer?: LastAnswer
  pullers: Puller[]
}

/**
 * What is known of an image, and what a pull of it would do. Asks no upstream, unless `ask` says so. Throws `invalid`.
 */
export async function explain(text: string, ask: boolean, options: ExplainOptions): Promise<Explanation> {
  const place = await namedIfAny(text, options.placeOf)
  if (!place) return nowhere(text, options)
  const image = place.tag === undefined && !place.digest ? { ...place, tag: 'latest' } : place
  const { rule, repository, upstreamRepository, tag, digest } = image
  if (ask && rule && isAllowed(rule, upstreamRepository)) await askUpstream(rule, image, options)
  const record = tag === undefined ? undefined : await options.metadata.tags.get(tagKey(repository, tag))
  const counting = record && (!rule || record.upstream === rule.upstream) ? record : undefined
  const wanted = digest ?? counting?.digest
  const survey = wanted && (await options.holdings.survey(repository, wanted).catch(ifDamaged))
  const freshness =
    counting && !digest && tag !== undefined ? await freshnessOf(image, tag, counting, options) : undefined
  const said = rule && options.lastAnswers.of(rule, upstreamRepository, digest ?? tag ?? '')
  const pulledAt =
    wanted && (await options.holdings.images.get(repository, wanted)) && (await pulledAtOf(image, wanted, options))
  return {
    repository,
    ...(tag !== undefined && { tag }),
    ...(digest && { digest }),
    ...(rule && { rule: { ...summaryOf(rule), repository: upstreamRepository } }),
    offline: options.offline,
    pull: prospectOf(image, survey, freshness, options),
    ...(survey && { cached: { ...cachedOf(survey), ...(pulledAt && { pulledAt }) } }),
    ...(freshness && { freshness }),
    ...(said && { lastAnswer: said }),
    pullers: await pullersOf(repository, options),
  }
}

/** Neither a rule nor what is cached without one has the name. */
const nowhere = (text: string, { offline, prefixes }: ExplainOptions): Explanation => {
  const { name, ...reference } = parseImageName(text)
  return { repository: name, ...reference, prefixes: prefixes(), offline, pull: 'unknown', pullers: [] }
}

/** A failure is an answer as well, and is told as that. */
async function askUpstream(rule: Rule, { repository, tag = '', digest }: Named, options: ExplainOptions) {
  const reference = digest ? { repository, digest } : { repository, tag }
  await options
    .registryOf(rule)
    .resolve(reference, { refresh: true })
    .catch(() => {})
}

function ifDamaged(error: unknown): undefined {
  if (!isKind(error, 'corrupt')) throw error
}

const pulledAtOf = async ({ repository }: Named, digest: Digest, { metadata }: ExplainOptions) =>
  (await metadata.pulls.get(`${repository}@${digest}`))?.pulledAt

async function freshnessOf(
  { rule, repository }: Named,
  tag: string,
  { checkedAt, movedAt }: { checkedAt: number; movedAt: number },
  { settings, offline }: ExplainOptions,
): Promise<Explanation['freshness']> {
  const never = !rule || offline || (await settings.isImmutable(repository, tag))
  return { checkedAt, movedAt, dueAt: never ? 'never' : checkedAt + tagTtlMs(rule, tag) }
}

const summaryOf = (rule: Rule) => ({
  prefix: rule.prefix,
  source: rule.source,
  upstream: rule.upstream,
  ...(rule.mirrors && { mirrors: rule.mirrors.map(({ upstream }) => upstream) }),
  credentials: credentialNames(rule),
})

function cachedOf(survey: Survey): NonNullable<Explanation['cached']> {
  const { digest, mediaType } = survey.descriptor
  const { manifests } = survey.content
  const whole = new Map(survey.children.map((child) => [child.descriptor.digest, isWhole(child)]))
  const platforms = manifests.flatMap(({ digest, platform }) =>
    platform === undefined ? [] : [{ platform, digest, whole: whole.get(digest) ?? false }],
  )
  return {
    digest,
    mediaType,
    whole: isWhole(survey),
    missing: missingIn(survey),
    ...(manifests.length > 0 && { platforms }),
  }
}

const missingIn = ({ missing, children }: Survey): number =>
  children.reduce((sum, child) => sum + missingIn(child), missing.length)

function prospectOf(
  { rule, upstreamRepository }: Named,
  survey: Survey | undefined,
  freshness: Explanation['freshness'],
  { offline, clock }: ExplainOptions,
): Prospect {
  if (rule && !isAllowed(rule, upstreamRepository)) return 'kept out by the rule'
  const canFetch = rule !== undefined && !offline
  if (!survey) return canFetch ? 'fetched' : 'unknown'
  const due = freshness && freshness.dueAt !== 'never' && !(freshness.checkedAt <= clock() && clock() < freshness.dueAt)
  if (due) return 'served after a check'
  const [some] = [survey, ...survey.children].filter((each) => each.content.manifests.length === 0 && isWhole(each))
  return some || !canFetch ? 'served' : 'fetched in part'
}

function isAllowed(rule: Rule, upstreamRepository: string): boolean {
  try {
    assertAllowed(rule, upstreamRepository)
    return true
  } catch (error) {
    if (isKind(error, 'unknown')) return false
    throw error
  }
}
