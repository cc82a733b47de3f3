import { describe, expect, it } from 'vitest'
import { command } from '../support/command.ts'
import { eventually } from '../support/eventually.ts'
import { image } from '../support/faulty-upstream.ts'
import { fetchBytes, fetchDigest } from '../support/http.ts'
import { RawConnection } from '../support/raw-http.ts'
import { askEach, type Cluster, holdEach, letGo, startCluster } from './fronts.ts'

/** The sum of the samples of a metric, of those with all of the labels. */
async function metric({ cistern }: Cluster, name: string, ...labels: string[]): Promise<number> {
  const text = (await fetchBytes(`${cistern.adminUrl}/metrics`)).bytes.toString()
  const samples = text.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
  return samples
    .filter((line) => labels.every((label) => line.includes(label)))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
}

describe('what workers did', () => {
  it('is counted once, however many there are, and stays counted when one of them is gone', async () => {
    await using cluster = await startCluster()
    const { upstream, cistern, at } = cluster
    upstream.addImage('app', 'v1', image())
    await fetchBytes(`${at}/app/manifests/v1`)
    const held = await holdEach(cistern)
    const rounds = 25
    const ids = new Set<string>()
    for (let round = 0; round < rounds; round++) {
      for (const { headers } of await askEach(held, '/v2/a/app/manifests/v1'))
        ids.add(headers.get('x-request-id') ?? '')
    }
    expect(ids.size).toBe(2 * rounds)
    const manifests = () => metric(cluster, 'cistern_http_requests_total', 'route="manifest"')
    expect(await manifests()).toBe(1 + 2 * rounds)
    expect(await metric(cluster, 'cistern_http_request_duration_seconds_count', 'route="manifest"')).toBe(
      1 + 2 * rounds,
    )
    expect(await metric(cluster, 'registry_proxy_hits_total')).toBe(2 * rounds)
    expect(await metric(cluster, 'cistern_build_info')).toBe(1)
    expect(await metric(cluster, 'process_start_time_seconds')).toBeGreaterThan(1e9)
    expect(await metric(cluster, 'cistern_cache_limit_bytes')).toBe(50 * 1024 ** 3)

    const lines = () => cistern.logs.filter((line) => line.includes('"msg":"request"')).map((line) => JSON.parse(line))
    await eventually(async () => {
      const logged = lines().filter(({ requestId }) => ids.has(requestId))
      expect(new Set(logged.map(({ requestId }) => requestId)).size).toBe(2 * rounds)
      expect(logged).toHaveLength(2 * rounds)
    })
    const told = await command(cistern, 'stats', '--json')
    expect(JSON.parse(told.stdout).rules[0]).toMatchObject({ prefix: 'a', hits: 2 * rounds, misses: 1 })

    for (const { front } of held) process.kill(front, 'SIGKILL')
    await letGo(held)
    await eventually(async () => expect(await fetchBytes(`${cistern.url}/v2/`)).toMatchObject({ status: 200 }))
    expect(await manifests()).toBe(1 + 2 * rounds)
    await fetchBytes(`${cistern.url}/v2/a/app/manifests/v1`)
    expect(await manifests()).toBe(2 + 2 * rounds)
  })

  it('keeps what is in use from eviction', async () => {
    await using cluster = await startCluster({ cache: { maxSize: '12MiB', minFree: 0 } })
    const { upstream, cistern, at } = cluster
    const MiB = 1024 * 1024
    const used = upstream.addImage('used', 'v1', image({ seed: 'used', layers: [2 * MiB] }))
    const [layer] = used.layers
    const path = `/v2/a/used/blobs/${layer?.digest}`
    await fetchBytes(`${at}/used/manifests/v1`)
    await fetchDigest(`${cistern.url}${path}`)
    const held = await holdEach(cistern)
    for (let n = 0; n < 12; n++) {
      const other = upstream.addImage(`other${n}`, 'v1', image({ seed: `other${n}`, layers: [2 * MiB] }))
      await fetchBytes(`${at}/other${n}/manifests/v1`)
      await fetchDigest(`${at}/other${n}/blobs/${other.layers[0]?.digest}`)
      for (const asked of ['/v2/a/used/manifests/v1', path]) {
        for (const got of await askEach(held, asked)) expect(got).toMatchObject({ status: 200, complete: true })
      }
    }
    expect(await metric(cluster, 'cistern_evictions_total')).toBeGreaterThan(0)
    expect(upstream.requests('GET', 'blob', layer?.digest)).toHaveLength(1)
    await letGo(held)
  })

  it('D61: keeps within the bounds on connections, all of them together', async () => {
    await using cluster = await startCluster({ limits: { connectionsPerClient: 9 } })
    const port = Number(new URL(cluster.cistern.url).port)
    await using connections = new AsyncDisposableStack()
    const open = () => connections.use(new RawConnection(port))
    const statuses: number[] = []
    for (let n = 0; n < 14; n++) statuses.push((await open().get('/v2/').response()).status)
    expect(statuses).toEqual([...Array(9).fill(200), ...Array(5).fill(503)])
    await connections.disposeAsync()
    await eventually(async () => {
      await using again = new RawConnection(port)
      expect((await again.get('/v2/').response()).status).toBe(200)
    })
  })
})
