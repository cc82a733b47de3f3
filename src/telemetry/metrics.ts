import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { type Events, subscribe } from './events.ts'
import { type Samples, summed } from './samples.ts'
import { type Sums, summingCounter } from './sums.ts'

/** What is read off the store whenever somebody asks, in bytes. */
export type StoreUsage = { stored: number; objects: number; expected: number; degraded?: boolean }

export type MetricsOptions = {
  version: string
  /** In bytes. */
  cacheLimit: number
  usage: () => StoreUsage
}

const seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

/** How often the lag of the event loop is looked at: each time wakes a process that idles, in milliseconds. */
const lagEveryMs = 100

const breakerStates = { closed: 0, 'half-open': 1, open: 2 }

/**
 * The metrics of the process, fed by events. Labels are bounded by the configuration: no repository, reference or
 * client is one. Its owner disposes it.
 */
export class Metrics implements Disposable {
  readonly #registry = new Registry()
  readonly #subscriptions: (() => void)[]

  /** Without options, those of a process that has no cache. */
  constructor(options?: MetricsOptions) {
    collectDefaultMetrics({ register: this.#registry, eventLoopMonitoringPrecision: lagEveryMs })
    if (options) this.#addCache(options)
    if (options) this.#addBuild(options)
    this.#subscriptions = [
      ...this.#addRequests(),
      ...this.#addProxied(),
      ...this.#addUpstream(),
      ...this.#addFills(),
      ...this.#addFaults(),
      ...this.#addEviction(),
      ...this.#addScrub(),
      ...this.#addExpiry(),
      ...this.#addCertificate(),
    ]
  }

  /** Together with those of others. */
  async read(others: readonly Samples[] = []): Promise<{ contentType: string; body: string }> {
    const registry = others.length === 0 ? this.#registry : summed(await this.samples(), others)
    return { contentType: this.#registry.contentType, body: await registry.metrics() }
  }

  samples(): Promise<Samples> {
    return this.#registry.getMetricsAsJSON()
  }

  [Symbol.dispose](): void {
    for (const unsubscribe of this.#subscriptions) unsubscribe()
    this.#registry.clear()
  }

  #addCache({ cacheLimit, usage }: MetricsOptions): void {
    this.#gauge('cistern_cache_bytes', 'Bytes of cached blobs', [], () => usage().stored)
    this.#gauge('cistern_cache_expected_bytes', 'Bytes of blobs in the making', [], () => usage().expected)
    this.#gauge('cistern_cache_objects', 'Cached blobs', [], () => usage().objects)
    this.#gauge('cistern_cache_degraded', '1 while blobs cannot be stored', [], () => Number(usage().degraded ?? false))
    this.#gauge('cistern_cache_limit_bytes', 'Bytes that the cache may take').set(cacheLimit)
  }

  #addBuild({ version }: MetricsOptions): void {
    const info = this.#gauge('cistern_build_info', 'The version that runs', ['version', 'node'])
    info.set({ version, node: process.versions.node }, 1)
  }

  #addRequests() {
    const labels = ['route', 'method', 'code']
    const requests = this.#sums('cistern_http_requests_total', 'Requests of clients', labels)
    const durations = this.#histogram('cistern_http_request_duration_seconds', 'Until an answer was sent', ['route'])
    const stale = this.#counter('cistern_stale_served_total', 'Answers that upstream could not confirm', ['reason'])
    const coalesced = this.#counter('cistern_coalesced_waiters_total', "Requests that joined another one's fetch")
    return [
      subscribe('cistern:request', ({ route, method, status, durationMs, outcome }) => {
        requests.of(route).of(method).of(status).add()
        durations.observe({ route }, durationMs / 1000)
        if (outcome?.cache === 'stale') stale.inc({ reason: outcome.reason ?? 'unavailable' })
        if (outcome?.cache === 'collapsed') coalesced.inc()
      }),
    ]
  }

  /** The names and labels that dashboards for other caches know. */
  #addProxied() {
    const labels = ['type', 'upstream_host']
    const requests = this.#sums('registry_proxy_requests_total', 'Requests for cacheable content', labels)
    const hits = this.#sums('registry_proxy_hits_total', 'Requests served from the cache', labels)
    const misses = this.#sums('registry_proxy_misses_total', 'Requests served from upstream', labels)
    const pulled = this.#counter('registry_proxy_pulled_bytes_total', 'Bytes fetched from upstream', labels)
    const pushed = this.#sums('registry_proxy_pushed_bytes_total', 'Bytes sent to clients', labels)
    return [
      subscribe('cistern:request', ({ route, upstream, outcome, bytes }) => {
        if (!upstream || !outcome || (route !== 'blob' && route !== 'manifest')) return
        const missed = outcome.cache === 'miss' || outcome.cache === 'collapsed'
        requests.of(route).of(upstream).add()
        pushed.of(route).of(upstream).add(bytes)
        const answers = missed ? misses : hits
        answers.of(route).of(upstream).add()
      }),
      subscribe('cistern:pulled', ({ upstream, kind, bytes }) => {
        pulled.inc({ type: kind, upstream_host: upstream }, bytes)
      }),
    ]
  }

  #addUpstream() {
    const host = ['upstream_host']
    const labels = [...host, 'kind', 'code']
    const durations = this.#histogram('cistern_upstream_request_duration_seconds', 'Requests to upstreams', labels)
    const limit = this.#gauge('cistern_upstream_ratelimit_limit', 'Requests that upstream allows per window', host)
    const remaining = this.#gauge('cistern_upstream_ratelimit_remaining', 'Requests left in the window', host)
    const waiting = this.#gauge('cistern_upstream_waiting', 'Questions that wait for the limits of the rule', host)
    const breaker = this.#gauge('cistern_breaker_state', '0 closed, 1 half open, 2 open', host)
    return [
      subscribe('cistern:upstream', ({ upstream, kind, status, durationMs }) => {
        durations.observe({ upstream_host: upstream, kind, code: status }, durationMs / 1000)
      }),
      subscribe('cistern:ratelimit', (event) => {
        if (event.limit !== undefined) limit.set({ upstream_host: event.upstream }, event.limit)
        if (event.remaining !== undefined) remaining.set({ upstream_host: event.upstream }, event.remaining)
      }),
      subscribe('cistern:waiting', ({ upstream, change }) => {
        waiting.inc({ upstream_host: upstream }, change)
      }),
      subscribe('cistern:breaker', ({ upstream, state }) => {
        breaker.set({ upstream_host: upstream }, breakerStates[state])
      }),
    ]
  }

  #addFills() {
    const downloads = this.#gauge('cistern_inflight_downloads', 'Transfers from upstreams that are running')
    const changes: Record<Events['cistern:fill']['phase'], number> = {
      started: 1,
      resumed: 0,
      committed: -1,
      failed: -1,
    }
    return [subscribe('cistern:fill', ({ phase }) => downloads.inc(changes[phase]))]
  }

  #addFaults() {
    const faults = this.#counter('cistern_faults_total', 'Faults met', ['where', 'kind'])
    const mismatches = this.#counter('cistern_digest_mismatch_total', 'Content that was not what it should be')
    return [
      subscribe('cistern:fault', ({ where, kind }) => {
        faults.inc({ where, kind })
        if (kind === 'corrupt' && where !== 'metadata') mismatches.inc()
      }),
    ]
  }

  #addEviction() {
    const blobs = this.#counter('cistern_evictions_total', 'Blobs that were evicted')
    const bytes = this.#counter('cistern_evicted_bytes_total', 'Bytes of blobs that were evicted')
    return [
      subscribe('cistern:eviction', (event) => {
        blobs.inc(event.blobs)
        bytes.inc(event.bytes)
      }),
    ]
  }

  #addScrub() {
    const checked = this.#counter('cistern_scrub_checked_total', 'Stored blobs that were hashed again')
    const damaged = this.#counter('cistern_scrub_damaged_total', 'Stored blobs that were found damaged')
    const healed = this.#counter('cistern_scrub_healed_total', 'Damaged blobs that were mended')
    const lastRun = this.#gauge('cistern_scrub_last_run_timestamp_seconds', 'When the store was last gone through')
    return [
      subscribe('cistern:scrub', (event) => {
        checked.inc(event.checked)
        damaged.inc(event.damaged)
        healed.inc(event.healed)
        lastRun.setToCurrentTime()
      }),
    ]
  }

  #addExpiry() {
    const applied = this.#counter(
      'cistern_lifecycle_policies_applied_total',
      'Times that a lifecycle policy was applied',
    )
    const expired = this.#counter('cistern_expired_images_total', 'Images that lifecycle policies let go')
    return [
      subscribe('cistern:expiry', ({ images }) => {
        applied.inc()
        expired.inc(images)
      }),
    ]
  }

  #addCertificate() {
    const file = ['file']
    const name = 'cistern_tls_certificate'
    const begins = this.#gauge(`${name}_begins_timestamp_seconds`, 'From when the certificate served is good', file)
    const expires = this.#gauge(`${name}_expires_timestamp_seconds`, 'Until when the certificate served is good', file)
    return [
      subscribe('cistern:certificate', ({ file, beginsAt, expiresAt }) => {
        begins.set({ file }, beginsAt / 1000)
        expires.set({ file }, expiresAt / 1000)
      }),
    ]
  }

  /** For what every request changes. */
  #sums(name: string, help: string, labelNames: readonly string[]): Sums {
    return summingCounter(this.#registry, name, help, labelNames)
  }

  #counter<L extends string>(name: string, help: string, labelNames: L[] = []): Counter<L> {
    return new Counter({ name, help, labelNames, registers: [this.#registry] })
  }

  /** With `read`, the value is asked for whenever somebody asks for the metrics. */
  #gauge<L extends string>(name: string, help: string, labelNames: L[] = [], read?: () => number): Gauge<L> {
    const collect = read && { collect: () => gauge.set(read()) }
    const gauge: Gauge<L> = new Gauge({ name, help, labelNames, registers: [this.#registry], ...collect })
    return gauge
  }

  #histogram<L extends string>(name: string, help: string, labelNames: L[]): Histogram<L> {
    return new Histogram({ name, help, labelNames, buckets: seconds, registers: [this.#registry] })
  }
}
