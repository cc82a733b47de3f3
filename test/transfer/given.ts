import { Holds } from '../../src/async/holds.ts'
import { MemoryStore } from '../../src/blobs/memory.ts'
import { Links } from '../../src/cache/links.ts'
import { nameOf } from '../../src/http/oci/names.ts'
import { MemoryMetadata, MemorySettings } from '../../src/metadata/memory.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { Deletion } from '../../src/repositories/deletion.ts'
import { PullTimes } from '../../src/repositories/pull-times.ts'
import { Settings } from '../../src/repositories/settings.ts'
import { plainRule } from '../../src/rules/plain-rule.ts'
import { RuleBook } from '../../src/rules/rule-book.ts'
import { type ImportOptions, importBundle } from '../../src/transfer/import.ts'

export const upstream = 'https://upstream.test'

/** A cache in memory, with one rule, that takes bundles in. */
export function given({ room = Number.POSITIVE_INFINITY, deny = [] as string[] } = {}) {
  const metadata = new MemoryMetadata()
  const blobs = new MemoryStore()
  const settings = new Settings(new MemorySettings(), metadata.repositories)
  const rule = {
    ...plainRule({ prefix: 'hub', source: 'file', upstream, upstreamRepositoryPrefix: 'ROOT' }),
    repositories: { allow: [], deny },
  }
  const book = new RuleBook([rule])
  const holds = new Holds<Digest>()
  const clock = () => 1_000_000
  const deletion = new Deletion({
    metadata,
    blobs,
    pullTimes: new PullTimes(metadata, clock),
    clock,
    isInUse: (digest) => holds.has(digest),
    forget: () => {},
  })
  const sizes = async () => {
    let sum = 0
    for await (const { size } of blobs.list()) sum += size
    return sum
  }
  const options: ImportOptions = {
    metadata,
    blobs,
    holds,
    placeOf: (name) => nameOf(name, book, async (known) => (await metadata.repositories.get(known)) !== undefined),
    meant: (name) => name.replace(/^cistern\.test:5000\//, ''),
    vouch: ({ rule, repository }, digest, facts) =>
      new Links({ metadata, decisions: settings, clock }, rule?.upstream).vouch(repository, digest, facts),
    isImmutable: (repository, tag) => settings.isImmutable(repository, tag),
    clock,
    room: async () => room - (await sizes()),
    free: (digests) => deletion.free(digests),
  }
  const take = (bundle: Uint8Array, repository?: string) => importBundle(inPieces(bundle), { repository }, options)
  return {
    ...{ metadata, blobs, settings, holds, take, options },
    /** What is in the store. */
    stored: async () => (await Array.fromAsync(blobs.list())).map(({ digest }) => digest).sort(),
    /** What is shown. */
    links: async () => (await Array.fromAsync(metadata.links.entries())).map(([key]) => key).sort(),
    tags: async () =>
      Object.fromEntries((await Array.fromAsync(metadata.tags.entries())).map(([key, { digest }]) => [key, digest])),
  }
}

/** Of odd sizes, so that what belongs together comes apart. */
export async function* inPieces(bytes: Uint8Array, size = 701): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}
