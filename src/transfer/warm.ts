import { setTimeout as delay } from 'node:timers/promises'
import type { Hold, Holds } from '../async/holds.ts'
import { Places } from '../async/places.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError, throttled } from '../oci/errors.ts'
import { type Named, named, type PlaceOf } from '../repositories/named.ts'
import { upstreamsOf } from '../rules/mirrors.ts'
import { assertAllowed, type Rule, upstreamHost } from '../rules/rule.ts'
import { publish } from '../telemetry/events.ts'
import { type Lacks, named as namedLacks, partOf } from './parts.ts'
import { Deferred, Patience } from './patience.ts'
import type { Quotas } from './quotas.ts'
import { invalid } from './request.ts'
import { type Warmed, WarmImage, type WarmImageOptions } from './warm-image.ts'
import { WarmProgress } from './warm-progress.ts'

export type WarmRequest = {
  references: readonly string[]
  platforms: readonly string[]
  /** Also what is about the images. */
  referrers: boolean
  /** Images, and blobs, that are fetched at a time. */
  concurrency: number
  /** The longest wait for an upstream that says when to come again, in milliseconds. */
  patienceMs: number
}

export type WarmOptions = Pick<WarmImageOptions, 'holdings' | 'registryOf' | 'isStored' | 'makeRoom' | 'settled'> & {
  holds: Holds<Digest>
  placeOf: PlaceOf
  quotas: Pick<Quotas, 'of'>
  offline: boolean
  /** Between attempts at what is not available, in milliseconds. */
  pauseMs: number
}

/** `here`: nothing of it had to be fetched. `deferred`: its upstream allows no more for now. */
export type WarmState = 'fetched' | 'here' | 'failed' | 'deferred'

export type WarmEvent =
  | ({
      event: 'item'
      reference: string
      state: WarmState
      digest?: Digest
      /** That came from the upstream for it. */
      bytes: number
      /** The upstream could not be asked whether the tag still points there. */
      unchecked?: true
      reason?: string
      retryAfterMs?: number
    } & Partial<Lacks>)
  | ({ event: 'progress' } & WarmProgress['state'])
  | { event: 'waiting'; upstream: string; waitMs: number }

type WarmItem = Extract<WarmEvent, { event: 'item' }>

/** How often progress is told, in milliseconds. */
const tickMs = 500

/**
 * Fetches images as clients do, as far as they are not here, and tells how it goes. Who does not want to hear more ends
 * it: then nothing else is begun, and what is on its way into the store comes there all the same.
 */
export async function* warm(request: WarmRequest, options: WarmOptions, gone: AbortSignal): AsyncGenerator<WarmEvent> {
  const ending = new AbortController()
  const signal = AbortSignal.any([gone, ending.signal])
  using hold = options.holds.begin()
  const job = new WarmJob(request, options, hold, signal)
  let over = false
  const work = job.run().finally(() => {
    over = true
  })
  work.catch(() => {}) // told at the end
  try {
    yield job.progress
    while (!over) {
      await Promise.race([work.catch(() => {}), delay(tickMs, undefined, { ref: false })])
      yield* job.told()
      yield job.progress
    }
    yield* job.told() // it may be over since the last look
    yield job.progress
    await work
  } finally {
    ending.abort(new Error('nobody wants it any more'))
    await work.catch(() => {})
  }
}

class WarmJob {
  readonly #request: WarmRequest
  readonly #options: WarmOptions
  readonly #image: Omit<WarmImageOptions, 'progress'>
  readonly #progress: WarmProgress
  readonly #patience = new Map<Rule, Patience>()
  #events: WarmEvent[] = []

  constructor(request: WarmRequest, options: WarmOptions, hold: Hold<Digest>, signal: AbortSignal) {
    const { platforms, referrers, concurrency, references } = request
    this.#request = request
    this.#options = options
    this.#progress = new WarmProgress(references.length)
    this.#image = {
      ...options,
      ...{ platforms, referrers, hold, signal },
      places: new Places(concurrency, Number.POSITIVE_INFINITY),
      patienceOf: (rule) => this.#patienceOf(rule, signal),
      admit: (rule) => this.#admit(rule),
    }
  }

  get progress(): WarmEvent {
    return { event: 'progress', ...this.#progress.state }
  }

  /** What happened since the last time. */
  told(): WarmEvent[] {
    const events = this.#events
    this.#events = []
    return events
  }

  async run(): Promise<void> {
    const { references, concurrency } = this.#request
    const left = references.values()
    const worker = async () => {
      for (const reference of left) {
        this.#image.signal.throwIfAborted()
        const item = await this.#item(reference)
        this.#events.push(item)
        this.#progress.finish()
      }
    }
    await Promise.all(Array.from({ length: Math.min(concurrency, references.length) }, worker))
  }

  async #item(text: string): Promise<WarmItem> {
    const item = { event: 'item', reference: text, bytes: 0 } as const
    try {
      const place = await this.#place(text)
      const { repository, tag = 'latest', digest } = place
      const reference = digest ? `${repository}@${digest}` : `${repository}:${tag}`
      try {
        const warmed = await new WarmImage(place, { ...this.#image, progress: this.#progress }).run()
        return { ...item, reference, ...(await this.#verdict(repository, warmed)) }
      } catch (error) {
        return { ...item, reference, ...this.#failure(error) }
      }
    } catch (error) {
      return { ...item, ...this.#failure(error) }
    }
  }

  async #place(text: string): Promise<Named & { rule: Rule }> {
    const place = await named(text, this.#options.placeOf)
    const { rule, repository, upstreamRepository } = place
    if (!rule) throw invalid(`no rule leads to ${repository}: there is no upstream to fetch it from`)
    if (this.#options.offline) throw invalid('this instance is offline: no upstream is asked')
    assertAllowed(rule, upstreamRepository)
    return { ...place, rule }
  }

  /** What is here in the end says whether it was worth anything. */
  async #verdict(repository: string, { digest, manifests, bytes, stale }: Warmed) {
    const { holdings } = this.#options
    const facts = { digest, bytes, ...(stale && { unchecked: true as const }) }
    for (const [index, manifest] of manifests.entries()) {
      const survey = await holdings.survey(repository, manifest)
      const missing = survey
        ? partOf(survey, index === 0 ? this.#request.platforms : []).missing
        : [{ digest: manifest }]
      if (missing.length === 0) continue
      return { ...facts, state: 'failed' as const, reason: 'it is not whole', ...namedLacks(missing) }
    }
    return { ...facts, state: bytes > 0 ? ('fetched' as const) : ('here' as const) }
  }

  #failure(error: unknown): Pick<WarmItem, 'state' | 'reason' | 'retryAfterMs'> {
    this.#image.signal.throwIfAborted()
    if (error instanceof Deferred) {
      const { message: reason, retryAfterMs } = error
      return { state: 'deferred', reason, ...(retryAfterMs !== undefined && { retryAfterMs }) }
    }
    if (error instanceof RegistryError) return { state: 'failed', reason: error.message }
    publish('cistern:fault', { where: 'process', kind: 'internal', message: 'an image could not be warmed', error })
    return { state: 'failed', reason: 'internal error' }
  }

  #patienceOf(rule: Rule, signal: AbortSignal): Patience {
    const { patienceMs } = this.#request
    const { pauseMs } = this.#options
    const onWait = (waitMs: number) =>
      void this.#events.push({ event: 'waiting', upstream: upstreamHost(rule), waitMs: Math.round(waitMs) })
    const known = this.#patience.get(rule) ?? new Patience({ patienceMs, pauseMs, signal, onWait })
    this.#patience.set(rule, known)
    return known
  }

  /** What a rule keeps for clients is not spent on what no client has asked for yet. */
  #admit(rule: Rule): void {
    const reserve = rule.budget?.reserve ?? 0
    if (reserve === 0) return
    const quotas = upstreamsOf(rule).map((each) => this.#options.quotas.of(upstreamHost(each)))
    const kept = reserve * Math.max(1, rule.credentials?.length ?? 1)
    if (quotas.some((quota) => quota === undefined || quota.remaining > kept)) return
    const retryAfterMs = Math.min(...quotas.map((quota) => quota?.leftMs ?? 0))
    throw throttled(`what ${upstreamHost(rule)} still allows is kept for clients`, { retryAfterMs })
  }
}
