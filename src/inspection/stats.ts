import type { Digest } from '../oci/digest.ts'
import { upstreamsOf } from '../rules/mirrors.ts'
import { type Rule, upstreamHost } from '../rules/rule.ts'
import { type ListingOptions, storedOf } from './listing.ts'
import type { Counts, Tally, UpstreamCounts } from './tally.ts'

export type StatsOptions = Omit<ListingOptions, 'images'> & {
  usage: () => { stored: number; objects: number }
  maxBytes: number
  rules: () => readonly Rule[]
  /** Absent where nobody has counted: no instance runs. */
  tally?: Tally
}

export type RuleStats = {
  /** Empty for what is cached without a rule. */
  prefix: string
  repositories: number
  /** On disk; what several repositories of the rule hold counts once. */
  bytes: number
  objects: number
} & Partial<Counts>

export type UpstreamStats = UpstreamCounts & { upstream: string }

export type Stats = {
  /** Of all blobs on disk; what several rules hold counts once. */
  bytes: number
  objects: number
  maxBytes: number
  /** When counting began, in milliseconds since the epoch. */
  since?: number
  /** Those that something is cached for, or that were asked. */
  rules: RuleStats[]
  /** Those that were asked since then, by host. */
  upstreams?: UpstreamStats[]
}

/** What is stored, and what clients and upstreams were asked since the start. */
export async function stats(options: StatsOptions): Promise<Stats> {
  const { usage, maxBytes, tally, rules, metadata, ruleOf } = options
  const held = new Map<string, Held>()
  for await (const [repository] of metadata.repositories.entries()) {
    const prefix = ruleOf(repository)?.prefix ?? ''
    const known = held.get(prefix) ?? nothing()
    held.set(prefix, known)
    known.repositories++
    for await (const { digest, size } of storedOf(repository, options)) {
      if (!known.digests.has(digest)) known.bytes += size
      known.digests.add(digest)
    }
  }
  const told = [...rules().map(({ prefix }) => prefix), ''].map((prefix): RuleStats => {
    const { repositories, bytes, digests } = held.get(prefix) ?? nothing()
    return { prefix, repositories, bytes, objects: digests.size, ...tally?.of(prefix) }
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
    ...(tally && { upstreams: upstreamsIn(rules(), tally) }),
  }
}

type Held = { repositories: number; bytes: number; digests: Set<Digest> }

const nothing = (): Held => ({ repositories: 0, bytes: 0, digests: new Set() })

function upstreamsIn(rules: readonly Rule[], tally: Tally): UpstreamStats[] {
  const hosts = new Set(rules.flatMap((rule) => upstreamsOf(rule).map(upstreamHost)))
  return [...hosts]
    .map((upstream) => ({ upstream, ...tally.ofUpstream(upstream) }))
    .filter(({ requests }) => requests > 0)
}
