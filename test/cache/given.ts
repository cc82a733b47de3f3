import { MemoryStore } from '../../src/blobs/memory.ts'
import { Fills } from '../../src/cache/fills.ts'
import { ManifestMemory } from '../../src/cache/manifest-memory.ts'
import { type Cache, Origin } from '../../src/cache/origin.ts'
import { PullThrough } from '../../src/cache/pull-through.ts'
import { Uses } from '../../src/cache/uses.ts'
import { MemoryMetadata, MemorySettings } from '../../src/metadata/memory.ts'
import { Settings } from '../../src/repositories/settings.ts'
import type { Rule } from '../../src/rules/rule.ts'
import { ScriptedRegistry } from './scripted-registry.ts'

export const rule: Rule = {
  prefix: 'hub',
  source: 'file',
  upstream: 'https://upstream.test',
  upstreamRepositoryPrefix: 'ROOT',
  realmHosts: [],
  dialect: 'generic',
  tagTtl: [{ pattern: '*', ttlMs: 60_000 }],
  negativeTtlMs: 30_000,
  onUnknownTag: 'unknown',
  repositories: { allow: [], deny: [] },
}

/** A cache over a scripted upstream, in memory, with a clock that the test turns. */
export function given(change: Partial<Rule> = {}, parts: Partial<Cache> = {}) {
  const blobs = parts.blobs ?? new MemoryStore()
  const clock = { now: 1_000_000 }
  const metadata = parts.metadata ?? new MemoryMetadata()
  const settings = new Settings(new MemorySettings(), metadata.repositories)
  const cache: Cache = {
    blobs,
    metadata,
    decisions: settings,
    fills: new Fills(blobs),
    memory: new ManifestMemory(1024 * 1024),
    uses: new Uses(blobs, () => clock.now),
    clock: () => clock.now,
    revalidateMs: 5_000,
    retryPauseMs: 10_000,
    ...parts,
  }
  const upstream = new ScriptedRegistry()
  const open = (registry: ScriptedRegistry | undefined = upstream, again: Partial<Rule> = {}) =>
    new PullThrough(cache, new Origin({ ...rule, ...change, ...again }, registry))
  const offline = () => new PullThrough(cache, new Origin({ ...rule, ...change }, undefined))
  return { cache, settings, clock, upstream, registry: open(), open, offline }
}
