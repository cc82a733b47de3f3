import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, expect, it } from 'vitest'
import { startCistern } from '../support/cistern.ts'
import { command } from '../support/command.ts'
import { eventually } from '../support/eventually.ts'
import { randomBlob } from '../support/faulty-upstream.ts'
import { fetchBytes, fetchDigest } from '../support/http.ts'
import { root } from '../support/paths.ts'
import { run } from '../support/process.ts'
import { blobFile } from '../support/pull.ts'
import { type Cluster, frontsOf, holdEach, isAlive, letGo, startCluster } from './fronts.ts'

const MiB = 1024 * 1024
const main = join(root, 'src', 'main.ts')

const readiness = async ({ cistern }: Cluster) => {
  const { status, bytes } = await fetchBytes(`${cistern.adminUrl}/readyz`)
  return { status, workers: JSON.parse(bytes.toString()).checks.workers }
}

describe('a worker that is killed', () => {
  it('takes nobody else along: transfers go on, the port answers, and another one takes its place', async () => {
    await using cluster = await startCluster()
    const { upstream, cistern, at } = cluster
    const resume = Promise.withResolvers<void>()
    const blob = upstream.addBlob('app', randomBlob(6 * MiB, 1))
    upstream.fault('blob', { pauseAfter: 2 * MiB, resume: resume.promise, times: 1 })
    const held = await holdEach(cistern)
    const answers = held.map(({ connection }) => connection.get(`/v2/a/app/blobs/${blob.digest}`).response())
    await eventually(async () => expect(upstream.requests('GET', 'blob')[0]?.sent).toBeGreaterThan(MiB))

    process.kill(held[0]?.front ?? 0, 'SIGKILL')
    const [broken, whole] = answers
    await broken?.then(
      (got) => expect(got.complete).toBe(false),
      () => {},
    )
    expect((await fetchBytes(`${cistern.url}/v2/`)).status).toBe(200)
    resume.resolve()
    expect((await whole)?.body.equals(blob.bytes())).toBe(true)
    expect((await fetchDigest(`${at}/app/blobs/${blob.digest}`)).digest).toBe(blob.digest)
    expect(upstream.requests('GET', 'blob')).toHaveLength(1)
    await letGo(held)
    await eventually(async () => expect(await readiness(cluster)).toEqual({ status: 200, workers: '2 of 2' }))
    await letGo(await holdEach(cistern))
    expect(cistern.logs.filter((line) => line.includes('a worker ended with SIGKILL'))).toHaveLength(1)
  })

  it('with all the others: the instance is not ready for that long, and answers on the same port again', async () => {
    await using cluster = await startCluster()
    const { cistern } = cluster
    const before = await frontsOf(cistern)
    expect(before).toHaveLength(2)
    for (const pid of before) process.kill(pid, 'SIGKILL')
    await eventually(async () => expect((await readiness(cluster)).status).toBe(503))
    await eventually(async () => expect(await readiness(cluster)).toEqual({ status: 200, workers: '2 of 2' }))
    expect((await fetchBytes(`${cistern.url}/v2/`)).status).toBe(200)
    expect((await frontsOf(cistern)).filter((pid) => before.includes(pid))).toEqual([])
  })

  it('again and again, is replaced each time', async () => {
    await using cluster = await startCluster()
    const { cistern } = cluster
    for (let round = 0; round < 4; round++) {
      const [pid = 0] = await frontsOf(cistern)
      process.kill(pid, 'SIGKILL')
      await eventually(async () => expect(await frontsOf(cistern)).not.toContain(pid))
      await eventually(async () => expect((await readiness(cluster)).workers).toBe('2 of 2'))
    }
    expect((await fetchBytes(`${cistern.url}/v2/`)).status).toBe(200)
  })

  it('since it hangs, is replaced as well', async () => {
    await using cluster = await startCluster()
    const [pid = 0] = await frontsOf(cluster.cistern)
    process.kill(pid, 'SIGSTOP')
    await eventually(async () => expect(isAlive(pid)).toBe(false), 25_000)
    await eventually(async () => expect((await readiness(cluster)).workers).toBe('2 of 2'))
  })
})

describe('the end', () => {
  it.each([
    ['SIGTERM to the one that was started', (pid: number) => process.kill(pid, 'SIGTERM')],
    ['SIGINT to all, as a terminal sends it', (pid: number) => process.kill(-pid, 'SIGINT')],
  ])('by %s finishes what runs, takes nothing new, and has status 0', async (_, signal) => {
    await using cluster = await startCluster()
    const { upstream, cistern } = cluster
    await cistern.stop()
    const config = ['--config', join(cistern.directory, 'cistern.yaml')]
    const child = spawn(process.execPath, [main, 'serve', ...config], {
      detached: true,
      cwd: cistern.directory,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = once(child, 'exit')
    try {
      const lines = createInterface({ input: child.stdout })
      const [line] = (await once(lines, 'line')) as [string]
      const { url, adminUrl } = JSON.parse(line)
      const fronts = await frontsOf({ pid: child.pid })
      expect(fronts).toHaveLength(2)
      const resume = Promise.withResolvers<void>()
      const blob = upstream.addBlob('app', randomBlob(4 * MiB, 1))
      upstream.fault('blob', { pauseAfter: MiB, resume: resume.promise })
      const answer = fetchDigest(`${url}/v2/a/app/blobs/${blob.digest}`)
      await eventually(async () => expect(upstream.requests('GET', 'blob')[0]?.sent).toBeGreaterThan(0))
      signal(child.pid ?? 0)
      await eventually(() => expect(fetchBytes(`${url}/v2/`)).rejects.toThrow(/ECONNREFUSED/))
      expect((await fetchBytes(`${adminUrl}/readyz`)).status).toBe(503)
      resume.resolve()
      expect((await answer).digest).toBe(blob.digest)
      expect(await ended).toEqual([0, null])
      await eventually(async () => expect(fronts.filter(isAlive)).toEqual([]))
    } finally {
      child.kill('SIGKILL')
    }
  })

  it('of the one that has the cache is the end of its workers, and the next one starts on its data', async () => {
    await using cluster = await startCluster({ timeouts: { drain: '50ms' } })
    const { upstream, cistern, at } = cluster
    const blob = upstream.addBlob('app', randomBlob(MiB, 1))
    await fetchDigest(`${at}/app/blobs/${blob.digest}`)
    await eventually(() => access(blobFile(cistern, blob.digest))) // whoever asked has it once it is verified
    const fronts = await frontsOf(cistern)
    await cistern.kill()
    await eventually(async () => expect(fronts.filter(isAlive)).toEqual([]))
    await cistern.restart()
    expect((await fetchDigest(`${cistern.url}/v2/a/app/blobs/${blob.digest}`)).digest).toBe(blob.digest)
    expect(upstream.requests('GET', 'blob')).toHaveLength(1)
  })
})

describe('the start', () => {
  it('G101: is refused beside another one on the same data', async () => {
    await using cluster = await startCluster()
    const { status, stderr } = await command(cluster.cistern, 'serve')
    expect([status, stderr]).toEqual([1, expect.stringContaining('is in use by another Cistern')])
    expect(await readiness(cluster)).toEqual({ status: 200, workers: '2 of 2' })
  })

  it('is refused, with the reason, on a port that is taken, and where no socket can be made', async () => {
    const rules = [{ prefix: 'a', upstream: 'http://127.0.0.1:9' }]
    await using cistern = await startCistern({ rules })
    const flags = ['--workers', '2', '--admin-listen', '127.0.0.1:0', '--data-dir']
    const serve = (dataDir: string, listen: string) =>
      run(process.execPath, [main, 'serve', ...flags, join(cistern.directory, dataDir), '--listen', listen])
    await expect(serve('other', new URL(cistern.url).host)).rejects.toThrow(/ended with 1:\n.*EADDRINUSE/s)
    await expect(serve('x'.repeat(100), '127.0.0.1:0')).rejects.toThrow(/ended with 2:\n.*workers: .*too long/s)
  })
})
