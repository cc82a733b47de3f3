import type { Digest } from '../oci/digest.ts'
import { type Rule, upstreamHost } from '../rules/rule.ts'
import { blobsOf, type ListingOptions } from './listing.ts'
import type { Counts, Tally, UpstreamCounts } from './tally.ts'

export type StatsOptions = ListingOptions & {
  usage: () => { stored: number; objects: number }
  maxBytes: number
  rules: () => readonly Rule[]
  /** Absent where nobody has counted: no instance runs. */
  tally?: Tally
}

export type RuleStats = {
  /** Empty for what is cached without a rule. */
  prefix: string
  upstream?: string
  repositories: number
  /** On disk; what several repositories of the rule hold counts once. */
  bytes: number
  objects: number
} & Partial<Counts & { savedRequests: number; upstream: string; asked: UpstreamCounts }>

export type Stats = {
  bytes: number
  objects: number
  maxBytes: number
  /** When counting began, in milliseconds since the epoch. */
  since?: number
  /** Those that something is cached for, or that were asked. */
  rules: RuleStats[]
}

/** What is stored, and what storing it has spared upstreams. */
export async function stats(options: StatsOptions): Promise<Stats> {
  const { usage, maxBytes, tally, rules, metadata, ruleOf } = options
  const held = new Map<string, { repositories: number; blobs: Map<Digest, number> }>()
  for await (const [repository] of metadata.repositories.entries()) {
    const prefix = ruleOf(repository)?.prefix ?? ''
    const known = held.get(prefix) ?? { repositories: 0, blobs: new Map<Digest, number>() }
    held.set(prefix, known)
    known.repositories++
    for await (const { digest, size } of blobsOf(repository, options)) known.blobs.set(digest, size)
  }
  const all = [...rules().map((rule) => ({ prefix: rule.prefix, rule })), { prefix: '', rule: undefined }]
  const told = all.map(({ prefix, rule }): RuleStats => {
    const { repositories = 0, blobs = new Map<Digest, number>() } = held.get(prefix) ?? {}
    const bytes = [...blobs.values()].reduce((sum, size) => sum + size, 0)
    return {
      prefix,
      ...(rule && { upstream: rule.upstream }),
      repositories,
      bytes,
      objects: blobs.size,
      ...(tally && countsOf(prefix, rule, tally)),
    }
  })
  const { stored, objects } = usage()
  return {
    bytes: stored,
    objects,
    maxBytes,
    ...(tally && { since: tally.since }),
    rules: told.filter(
      ({ repositories, hits = 0, misses = 0, joined = 0 }) => repositories + hits + misses + joined > 0,
    ),
  }
}

function countsOf(prefix: string, rule: Rule | undefined, tally: Tally) {
  const counts = { ...tally.of(prefix) }
  return {
    ...counts,
    savedRequests: counts.hits + counts.joined,
    ...(rule && { asked: { ...tally.ofUpstream(upstreamHost(rule)) } }),
  }
}
