import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import { Pace } from '../async/pace.ts'
import type { BlobInfo, BlobStore, OpenBlob } from '../blobs/blob-store.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { algorithmOf, type Digest, Digester, isDigest } from '../oci/digest.ts'
import { corrupt, isKind, RegistryError, unavailable } from '../oci/errors.ts'
import type { Registry } from '../oci/registry.ts'
import { assertAllowed, type Rule, upstreamNameOf } from '../rules/rule.ts'
import { publish } from '../telemetry/events.ts'
import type { Fills } from './fills.ts'
import type { ManifestMemory } from './manifest-memory.ts'

export type ScrubberOptions = {
  blobs: BlobStore
  metadata: Metadata
  memory: ManifestMemory
  fills: Fills
  /** The rule that a repository of ours belongs to now. */
  ruleOf: (repository: string) => Rule | undefined
  registryOf: (rule: Rule | undefined) => Registry
}

export type ScrubOptions = {
  /** How fast the store is read; 0, or left out, as fast as it goes. */
  bytesPerSecond?: number | undefined
  /** Ends the run. What was put aside until then is fetched by whoever asks for it. */
  signal?: AbortSignal | undefined
}

/** A blob that was damaged. `healed`: nothing is missing now. The reason tells why not, or why it was not fetched. */
export type Damage = { digest: Digest; healed: boolean; reason?: string }

export type ScrubReport = {
  /** Blobs, and their bytes, that were hashed. */
  checked: number
  bytes: number
  /** Blobs that could not be opened just now. */
  skipped: number
  damaged: Damage[]
  durationMs: number
}

/** A repository that shows a blob, and as what. */
type Holder = { repository: string; isManifest: boolean }

/** A damaged blob, and why it is still in the store where it could not be put aside. */
type Finding = { info: BlobInfo; stuck?: string }

/**
 * Goes through the store, hashes every blob again, puts aside what is damaged, and fetches it anew by its digest. Only
 * what is published is looked at: running fills and readers notice nothing. Its owner disposes it, which ends its runs.
 */
export class Scrubber implements AsyncDisposable {
  readonly #options: ScrubberOptions
  readonly #ending = new AbortController()
  readonly #runs = new Set<Promise<ScrubReport>>()

  constructor(options: ScrubberOptions) {
    this.#options = options
  }

  /** Runs may overlap. Rejects with the reason of the signal, and with what the file system throws at the listing. */
  run({ bytesPerSecond = 0, signal }: ScrubOptions = {}): Promise<ScrubReport> {
    const signals = [this.#ending.signal, ...(signal ? [signal] : [])]
    const perSecond = bytesPerSecond > 0 ? bytesPerSecond : Number.POSITIVE_INFINITY
    const pace = new Pace({ perSecond, burst: 1, now: () => performance.now() })
    const run = this.#run(pace, AbortSignal.any(signals)).finally(() => this.#runs.delete(run))
    this.#runs.add(run)
    return run
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort(unavailable('shutting down'))
    await Promise.allSettled(this.#runs)
  }

  async #run(pace: Pace, signal: AbortSignal): Promise<ScrubReport> {
    const startedAt = performance.now()
    const report: ScrubReport = { checked: 0, bytes: 0, skipped: 0, damaged: [], durationMs: 0 }
    const findings: Finding[] = []
    for await (const info of this.#options.blobs.list()) {
      signal.throwIfAborted()
      const finding = await this.#examine(info, report, pace, signal)
      if (finding) findings.push(finding)
    }
    const holders = await this.#holders(new Set(findings.map(({ info }) => info.digest)))
    for (const { info, stuck } of findings) {
      const { digest } = info
      const damage = stuck
        ? { digest, healed: false, reason: stuck }
        : await this.#mend(info, holders.get(digest) ?? [], signal)
      report.damaged.push(damage)
    }
    report.durationMs = performance.now() - startedAt
    const { checked, bytes, damaged, durationMs } = report
    const healed = damaged.filter(({ healed }) => healed).length
    publish('cistern:scrub', { checked, bytes, damaged: damaged.length, healed, durationMs })
    return report
  }

  /** Hashes one blob, and puts it aside where it is damaged. One that is evicted meanwhile is none of ours. */
  async #examine(info: BlobInfo, report: ScrubReport, pace: Pace, signal: AbortSignal): Promise<Finding | undefined> {
    const { digest } = info
    let blob: OpenBlob | undefined
    try {
      blob = await this.#options.blobs.open(digest)
      if (!blob) return undefined
      report.checked++
      report.bytes += blob.size
      if ((await rehash(blob, digest, pace, signal)) === digest) return undefined
      return await this.#putAside(info, blob, corrupt('a stored blob has other bytes than its digest says'))
    } catch (error) {
      signal.throwIfAborted()
      if (isKind(error, 'corrupt')) return await this.#putAside(info, blob, error)
      report.skipped++
      tell(digest, 'a stored blob could not be checked', error)
      return undefined
    } finally {
      await blob?.[Symbol.asyncDispose]() // not before: its file tells it from what may have taken its place
    }
  }

  async #putAside(info: BlobInfo, blob: OpenBlob | undefined, damage: RegistryError): Promise<Finding | undefined> {
    this.#options.memory.delete(info.digest)
    try {
      const moved = await this.#options.blobs.quarantine(info.digest, blob)
      if (!moved) return undefined
      tell(info.digest, damage.message, damage)
      return { info }
    } catch (error) {
      const stuck = 'it could not be put aside'
      tell(info.digest, `${damage.message}, and ${stuck}`, error, 'corrupt')
      return { info, stuck }
    }
  }

  async #holders(digests: ReadonlySet<Digest>): Promise<Map<Digest, Holder[]>> {
    const holders = new Map<Digest, Holder[]>()
    if (digests.size === 0) return holders
    for await (const [key, { mediaType }] of this.#options.metadata.links.entries()) {
      const at = key.lastIndexOf('@')
      const digest = key.slice(at + 1)
      if (!isDigest(digest) || !digests.has(digest)) continue
      const holder = { repository: key.slice(0, at), isManifest: mediaType !== undefined }
      holders.set(digest, [...(holders.get(digest) ?? []), holder])
    }
    return holders
  }

  /** Fetches a blob again through one repository after another that holds it, until one gives it. */
  async #mend({ digest, usedAt }: BlobInfo, holders: readonly Holder[], signal: AbortSignal): Promise<Damage> {
    const { blobs, ruleOf } = this.#options
    if (holders.length === 0) return { digest, healed: true, reason: 'no repository holds it' }
    const silent = new Set<Rule | undefined>()
    let reason = ''
    for (const holder of holders) {
      const rule = ruleOf(holder.repository)
      if (silent.has(rule)) continue
      try {
        await this.#fetch(digest, holder, rule, signal)
        if (await blobs.stat(digest)) {
          await blobs.touch(digest, usedAt) // to be mended is not to be used
          return { digest, healed: true }
        }
        reason = 'it could not be stored'
      } catch (error) {
        signal.throwIfAborted()
        if (isKind(error, 'unavailable', 'throttled')) silent.add(rule)
        reason = `${holder.repository}: ${error instanceof RegistryError ? error.message : 'internal error'}`
        tell(digest, 'a damaged blob could not be fetched again', error)
      }
    }
    return { digest, healed: false, reason }
  }

  /** Pulls a blob as a client would, which verifies and stores it; resolves once it is stored, or will not be. */
  async #fetch(digest: Digest, { repository, isManifest }: Holder, rule: Rule | undefined, signal: AbortSignal) {
    const { fills, registryOf } = this.#options
    if (rule) assertAllowed(rule, upstreamNameOf(rule, repository))
    const registry = registryOf(rule)
    if (isManifest) {
      await registry.manifest({ repository, digest }, { signal })
    } else {
      const { body } = await registry.blob(repository, digest, { signal })
      await using _ = body
      await body.sendTo({ write: () => {} }, signal)
      await fills.find(digest, rule?.upstream ?? '')?.ended
    }
  }
}

/** Hashing is long computation: between slices the event loop serves others. */
const slice = 256 * 1024

async function rehash(blob: OpenBlob, digest: Digest, pace: Pace, signal: AbortSignal): Promise<Digest> {
  const digester = new Digester(algorithmOf(digest))
  const write = async (chunk: Uint8Array) => {
    for (let done = 0; done < chunk.length; done += slice) {
      const part = chunk.subarray(done, done + slice)
      digester.update(part)
      pace.take(part.length)
      await paid(pace, signal)
    }
  }
  await blob.body().sendTo({ write }, signal)
  return digester.finish()
}

/** In any event lets others have their turn. */
async function paid({ waitMs }: Pace, signal: AbortSignal): Promise<void> {
  if (waitMs >= 1) await delay(waitMs, undefined, { signal })
  else await nextTurn(undefined, { signal })
}

function tell(digest: Digest, message: string, error: unknown, kind = kindOf(error)): void {
  publish('cistern:fault', { where: 'blobs', kind, message, reference: digest, error })
}

const kindOf = (error: unknown) => (error instanceof RegistryError ? error.kind : 'internal')
