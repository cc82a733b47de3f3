import type { Metadata, Tag } from '../metadata/metadata.ts'
import { linkKey, tagKey } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import { isKind, RegistryError } from '../oci/errors.ts'
import { parseImageName, type Reference, referenceText } from '../oci/reference.ts'
import type { Outlook, Registry } from '../oci/registry.ts'
import { type Named, namedIfAny, type PlaceOf } from '../repositories/named.ts'
import type { Settings } from '../repositories/settings.ts'
import { upstreamsOf } from '../rules/mirrors.ts'
import { isAllowed, type Rule, tagTtlMs } from '../rules/rule.ts'
import type { Holdings, Survey } from '../transfer/holdings.ts'
import { credentialNames } from './credential-names.ts'
import { type Held, heldOf, lackedBy } from './held.ts'
import type { LastAnswer, LastAnswers } from './last-answers.ts'
import { type Prospect, prospectOf } from './prospect.ts'
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
  outlook: (rule: Rule | undefined, reference: Reference) => Promise<Outlook>
  offline: boolean
}

/** `proxy` is what the rule says of it: an origin, or `none`. */
export type ExplainedUpstream = { upstream: string; credentials: string[]; proxy?: string }

/** All instants are milliseconds since the epoch. */
export type Explanation = Prospect & {
  repository: string
  tag?: string
  digest?: Digest
  /** Where a name leads nowhere: the prefixes that lead somewhere. */
  prefixes?: string[]
  rule?: {
    prefix: string
    source: Rule['source']
    /** As upstream knows it. */
    repository: string
    /** In the order in which they are asked. */
    upstreams: ExplainedUpstream[]
  }
  offline: boolean
  cached?: Held & { pulledAt?: number }
  /** A manifest whose file has other bytes than its digest says. Nobody is given it; whoever asks has it replaced. */
  damaged?: Digest
  /** `checkedAt`: when upstream last said where the tag points; `movedAt`: since when what is cached stands there. */
  freshness?: { checkedAt: number; movedAt?: number; dueAt: number | 'never' }
  lastAnswer?: LastAnswer
  /** What upstream last refused of what the image is made of. */
  failures?: (LastAnswer & { digest: Digest })[]
  pullers: Puller[]
}

const maxFailures = 10

/**
 * What is known of an image, and what a pull of it would do. Asks no upstream and changes nothing, unless `ask` says so:
 * then upstream is asked where it is, which what is cached takes note of. Throws `invalid`.
 */
export async function explain(text: string, ask: boolean, options: ExplainOptions): Promise<Explanation> {
  const image = await namedIfAny(text, options.placeOf)
  if (!image) return nowhere(text, options)
  const { rule, repository, upstreamRepository, digest } = image
  const tag = image.tag ?? (digest ? undefined : 'latest')
  const reference: Reference = digest ? { repository, digest } : { repository, tag: tag ?? '' }
  const allowed = !rule || isAllowed(rule, upstreamRepository)
  // A failure is an answer as well, and is told as that.
  if (ask && rule && allowed) await options.registryOf(rule).resolve(reference, { refresh: true }).catch(ifAnswered)

  const outlook: Outlook = allowed ? await options.outlook(rule, reference) : { asks: 'nobody' }
  const record = 'tag' in reference ? await countingRecord(rule, repository, reference.tag, options) : undefined
  const wanted = digest ?? record?.digest ?? outlook.digest
  const { survey, damaged } = wanted ? await surveyOf(repository, wanted, options) : {}
  const answerTo = (text: string) => rule && options.lastAnswers.of(rule, upstreamRepository, text)
  const lastAnswer = answerTo(referenceText(reference))
  const failures = lackedBy(survey, [outlook.digest, lastAnswer?.digest]).flatMap((digest) => {
    const answer = answerTo(digest)
    return answer && answer.kind !== 'ok' ? [{ ...answer, digest }] : []
  })
  const freshness = 'tag' in reference && (await freshnessOf(image, reference.tag, outlook, survey && record, options))
  return {
    repository,
    ...(tag !== undefined && { tag }),
    ...(digest && { digest }),
    ...(rule && { rule: { ...summaryOf(rule), repository: upstreamRepository } }),
    offline: options.offline,
    ...(allowed ? prospectOf(reference, outlook, survey, rule !== undefined && !options.offline) : keptOut),
    ...(survey && { cached: { ...heldOf(survey), ...(await pulledAtOf(repository, survey, options)) } }),
    ...(damaged && { damaged }),
    ...(freshness && { freshness }),
    ...(lastAnswer && { lastAnswer }),
    ...(failures.length > 0 && { failures: failures.slice(0, maxFailures) }),
    pullers: allowed ? await pullersOf(repository, options) : [],
  }
}

/** Neither a rule nor what is cached without one has the name. */
const nowhere = (text: string, { offline, prefixes }: ExplainOptions): Explanation => {
  const { name, ...reference } = parseImageName(text)
  const why = 'no rule leads there'
  return { repository: name, ...reference, prefixes: prefixes(), offline, pull: 'refused', why, pullers: [] }
}

const keptOut: Prospect = { pull: 'refused', why: 'the patterns of the rule keep the repository out' }

function ifAnswered(error: unknown): void {
  if (!(error instanceof RegistryError)) throw error
}

/** A tag that another upstream vouched for counts for nothing: the rule has been pointed elsewhere since. */
async function countingRecord(rule: Rule | undefined, repository: string, tag: string, { metadata }: ExplainOptions) {
  const record = await metadata.tags.get(tagKey(repository, tag))
  return record && (!rule || record.upstream === rule.upstream) ? record : undefined
}

async function surveyOf(
  repository: string,
  digest: Digest,
  { holdings }: ExplainOptions,
): Promise<{ survey?: Survey | undefined; damaged?: Digest }> {
  try {
    return { survey: await holdings.survey(repository, digest) }
  } catch (error) {
    if (isKind(error, 'corrupt')) return { damaged: digest }
    throw error
  }
}

async function pulledAtOf(repository: string, { descriptor }: Survey, { metadata }: ExplainOptions) {
  const record = await metadata.pulls.get(linkKey(repository, descriptor.digest))
  return record && { pulledAt: record.pulledAt }
}

async function freshnessOf(
  { rule, repository }: Named,
  tag: string,
  { checkedAt }: Outlook,
  held: Tag | undefined,
  { settings, offline }: ExplainOptions,
): Promise<Explanation['freshness']> {
  if (checkedAt === undefined) return undefined
  const never = !rule || offline || (held !== undefined && (await settings.isImmutable(repository, tag)))
  const dueAt = never ? 'never' : checkedAt + tagTtlMs(rule, tag)
  return { checkedAt, ...(held && { movedAt: held.movedAt }), dueAt }
}

const summaryOf = (rule: Rule) => ({
  prefix: rule.prefix,
  source: rule.source,
  upstreams: upstreamsOf(rule).map((one) => ({
    upstream: one.upstream,
    credentials: credentialNames(one),
    ...(one.proxy && { proxy: one.proxy === 'none' ? 'none' : one.proxy.url }),
  })),
})
