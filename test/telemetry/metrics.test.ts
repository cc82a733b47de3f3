import { afterEach, beforeEach, expect, it } from 'vitest'
import { type Events, publish } from '../../src/telemetry/events.ts'
import { Metrics } from '../../src/telemetry/metrics.ts'
import { withDeparted } from '../../src/telemetry/samples.ts'

let metrics: Metrics

beforeEach(() => {
  metrics = new Metrics({ version: '1.2.3', cacheLimit: 1000, usage: () => ({ stored: 7, objects: 2, expected: 0 }) })
})

afterEach(() => metrics[Symbol.dispose]())

/** The samples of one metric, as they stand in the text. */
async function samples(name: string): Promise<string[]> {
  const { body } = await metrics.read()
  return body.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
}

const request: Events['cistern:request'] = {
  requestId: 'r',
  method: 'GET',
  route: 'blob',
  repository: 'secret/repository',
  reference: 'sha256:0',
  upstream: 'quay.io',
  status: 200,
  bytes: 100,
  durationMs: 20,
  aborted: false,
  client: '192.0.2.1',
  userAgent: 'ua',
}

it('counts hits and misses by upstream under the names that dashboards know', async () => {
  publish('cistern:request', { ...request, outcome: { cache: 'hit' } })
  publish('cistern:request', { ...request, outcome: { cache: 'revalidated' } })
  publish('cistern:request', { ...request, outcome: { cache: 'miss' } })
  publish('cistern:request', { ...request, route: 'tags', outcome: { cache: 'miss' } })
  publish('cistern:request', { ...request, status: 404 })
  publish('cistern:pulled', { upstream: 'quay.io', kind: 'blob', bytes: 40 })
  const of = '{type="blob",upstream_host="quay.io"}'
  expect(await samples('registry_proxy_requests_total')).toEqual([`registry_proxy_requests_total${of} 3`])
  expect(await samples('registry_proxy_hits_total')).toEqual([`registry_proxy_hits_total${of} 2`])
  expect(await samples('registry_proxy_misses_total')).toEqual([`registry_proxy_misses_total${of} 1`])
  expect(await samples('registry_proxy_pulled_bytes_total')).toEqual([`registry_proxy_pulled_bytes_total${of} 40`])
  expect(await samples('registry_proxy_pushed_bytes_total')).toEqual([`registry_proxy_pushed_bytes_total${of} 300`])
})

it('counts requests by route, and what was stale or coalesced', async () => {
  publish('cistern:request', { ...request, outcome: { cache: 'stale', reason: 'throttled' } })
  publish('cistern:request', { ...request, outcome: { cache: 'collapsed' } })
  expect(await samples('cistern_http_requests_total')).toEqual([
    'cistern_http_requests_total{route="blob",method="GET",code="200"} 2',
  ])
  expect(await samples('cistern_http_request_duration_seconds_count')).toEqual([
    'cistern_http_request_duration_seconds_count{route="blob"} 2',
  ])
  expect(await samples('cistern_stale_served_total')).toEqual(['cistern_stale_served_total{reason="throttled"} 1'])
  expect(await samples('cistern_coalesced_waiters_total')).toEqual(['cistern_coalesced_waiters_total 1'])
})

it('tells how upstreams fare', async () => {
  publish('cistern:upstream', { upstream: 'quay.io', kind: 'token', method: 'GET', status: 200, durationMs: 5 })
  publish('cistern:ratelimit', { upstream: 'quay.io', limit: 100, remaining: 76, windowMs: 1, source: '192.0.2.1' })
  publish('cistern:breaker', { upstream: 'quay.io', state: 'open' })
  for (const change of [1, 1, -1] as const) publish('cistern:waiting', { upstream: 'quay.io', change })
  expect(await samples('cistern_upstream_request_duration_seconds_count')).toEqual([
    'cistern_upstream_request_duration_seconds_count{upstream_host="quay.io",kind="token",code="200"} 1',
  ])
  expect(await samples('cistern_upstream_ratelimit_limit')).toEqual([
    'cistern_upstream_ratelimit_limit{upstream_host="quay.io"} 100',
  ])
  expect(await samples('cistern_upstream_ratelimit_remaining')).toEqual([
    'cistern_upstream_ratelimit_remaining{upstream_host="quay.io"} 76',
  ])
  expect(await samples('cistern_upstream_waiting')).toEqual(['cistern_upstream_waiting{upstream_host="quay.io"} 1'])
  expect(await samples('cistern_breaker_state')).toEqual(['cistern_breaker_state{upstream_host="quay.io"} 2'])
})

it('counts running transfers, faults and content that was not what it should be', async () => {
  const fill = { digest: 'sha256:0', upstream: 'https://quay.io', bytes: 0 } as const
  publish('cistern:fill', { phase: 'started', ...fill })
  publish('cistern:fill', { phase: 'started', ...fill })
  publish('cistern:fill', { phase: 'committed', ...fill })
  publish('cistern:fault', { where: 'upstream', kind: 'corrupt', message: 'm' })
  publish('cistern:fault', { where: 'metadata', kind: 'corrupt', message: 'm' })
  expect(await samples('cistern_inflight_downloads')).toEqual(['cistern_inflight_downloads 1'])
  expect(await samples('cistern_faults_total')).toEqual([
    'cistern_faults_total{where="upstream",kind="corrupt"} 1',
    'cistern_faults_total{where="metadata",kind="corrupt"} 1',
  ])
  expect(await samples('cistern_digest_mismatch_total')).toEqual(['cistern_digest_mismatch_total 1'])
})

it('tells what the cache holds, what runs, and of the process', async () => {
  expect(await samples('cistern_cache_bytes')).toEqual(['cistern_cache_bytes 7'])
  expect(await samples('cistern_cache_objects')).toEqual(['cistern_cache_objects 2'])
  expect(await samples('cistern_cache_limit_bytes')).toEqual(['cistern_cache_limit_bytes 1000'])
  expect((await samples('cistern_build_info'))[0]).toContain('version="1.2.3"')
  expect(await samples('process_resident_memory_bytes')).toHaveLength(1)
})

it('has no label that clients choose', async () => {
  publish('cistern:request', { ...request, outcome: { cache: 'miss' } })
  const { body } = await metrics.read()
  expect(body).not.toMatch(/secret\/repository|sha256|192\.0\.2\.1/)
})

it('ends with its owner', async () => {
  const other = new Metrics({ version: '1', cacheLimit: 1, usage: () => ({ stored: 0, objects: 0, expected: 0 }) })
  other[Symbol.dispose]()
  publish('cistern:request', { ...request, outcome: { cache: 'hit' } })
  expect((await other.read()).body).not.toContain('registry_proxy_hits_total')
})

it('counts what a scrub found and mended, and tells when it was', async () => {
  publish('cistern:scrub', { checked: 9, bytes: 900, damaged: 3, healed: 2, durationMs: 1 })
  publish('cistern:scrub', { checked: 8, bytes: 800, damaged: 0, healed: 0, durationMs: 1 })
  expect(await samples('cistern_scrub_checked_total')).toEqual(['cistern_scrub_checked_total 17'])
  expect(await samples('cistern_scrub_damaged_total')).toEqual(['cistern_scrub_damaged_total 3'])
  expect(await samples('cistern_scrub_healed_total')).toEqual(['cistern_scrub_healed_total 2'])
  const [lastRun = ''] = await samples('cistern_scrub_last_run_timestamp_seconds')
  expect(Number(lastRun.split(' ')[1])).toBeGreaterThan(1e9)
})

it('counts what lifecycle policies did', async () => {
  publish('cistern:expiry', { repository: 'hub/a', images: 3, durationMs: 1 })
  publish('cistern:expiry', { repository: 'hub/b', images: 0, durationMs: 1 })
  expect(await samples('cistern_lifecycle_policies_applied_total')).toEqual([
    'cistern_lifecycle_policies_applied_total 2',
  ])
  expect(await samples('cistern_expired_images_total')).toEqual(['cistern_expired_images_total 3'])
})

it('tells how long the certificate served is good', async () => {
  publish('cistern:certificate', { file: 'tls.crt', replaced: false, beginsAt: 1000, expiresAt: 2000 })
  publish('cistern:certificate', { file: 'tls.crt', replaced: true, beginsAt: 3000, expiresAt: 5000 })
  expect(await samples('cistern_tls_certificate_begins_timestamp_seconds')).toEqual([
    'cistern_tls_certificate_begins_timestamp_seconds{file="tls.crt"} 3',
  ])
  expect(await samples('cistern_tls_certificate_expires_timestamp_seconds')).toEqual([
    'cistern_tls_certificate_expires_timestamp_seconds{file="tls.crt"} 5',
  ])
})

it('adds up what several processes counted, and keeps what those did that are gone', async () => {
  publish('cistern:request', { ...request, outcome: { cache: 'hit' } })
  using other = new Metrics()
  publish('cistern:request', { ...request, outcome: { cache: 'hit' } })
  const departed = await withDeparted(await withDeparted([], await other.samples()), await other.samples())
  const { body } = await metrics.read([departed, await other.samples()])
  const value = (name: string) => Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (.*)$`, 'm').exec(body)?.[1])
  expect(value('cistern_http_requests_total')).toBe(2 + 2 + 1)
  expect(value('cistern_http_request_duration_seconds_count')).toBe(2 + 2 + 1)
  expect(value('cistern_cache_limit_bytes')).toBe(1000)
  expect(value('cistern_build_info')).toBe(1)
  expect(value('process_start_time_seconds')).toBeGreaterThan(0)
  expect(departed.some(({ name }) => name === 'process_resident_memory_bytes')).toBe(false)
})
