import { createHash } from 'node:crypto'
import { globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type CisternProcess, startCistern } from '../support/cistern.ts'
import { eventually } from '../support/eventually.ts'
import { randomBlob, startUpstream } from '../support/faulty-upstream.ts'
import { fetchDigest } from '../support/http.ts'

const filesIn = (cistern: CisternProcess, below: string): string[] =>
  globSync('**/*', { cwd: join(cistern.dataDir, 'v1', below), withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))

const sha256Of = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex')

describe('a Cistern that is killed', () => {
  it('H106: in the middle of a transfer shows nothing of it, sweeps it, and fetches anew', async () => {
    await using upstream = await startUpstream()
    await using cistern = await startCistern({ rules: [{ prefix: 'up.example', upstream: upstream.url }] })
    const blob = upstream.addBlob('team/app', randomBlob(8_000_000))
    upstream.fault('blob', { stallAfter: 5_000_000, times: 1 })
    const url = () => `${cistern.url}/v2/up.example/team/app/blobs/${blob.digest}`
    const interrupted = fetchDigest(url()).catch(() => 'broken')
    await eventually(async () => expect(filesIn(cistern, 'ingest')).toHaveLength(1))

    await cistern.kill()
    const published = filesIn(cistern, 'blobs')
    await cistern.restart()
    const left = filesIn(cistern, 'ingest')
    const again = await fetchDigest(url())

    expect(await interrupted).toBe('broken')
    expect(published).toEqual([])
    expect(left).toEqual([])
    expect(again).toMatchObject({ status: 200, digest: blob.digest, size: blob.size })
    expect(upstream.requests('GET', 'blob')).toHaveLength(2)
  })

  it('H106: at any moment of many transfers keeps only whole blobs, and serves them without asking', async () => {
    await using upstream = await startUpstream()
    await using cistern = await startCistern({ rules: [{ prefix: 'up.example', upstream: upstream.url }] })
    const blobs = Array.from({ length: 60 }, (_, i) => upstream.addBlob('team/app', randomBlob(200_000, `many ${i}`)))
    const get = (digest: string) => fetchDigest(`${cistern.url}/v2/up.example/team/app/blobs/${digest}`)
    const settled = Promise.allSettled(blobs.map(({ digest }) => get(digest)))
    await eventually(async () => expect(filesIn(cistern, 'blobs').length).toBeGreaterThan(5))

    await cistern.kill()
    await settled
    await cistern.restart()
    const kept = filesIn(cistern, 'blobs')
    const asked = upstream.requests('GET', 'blob').length
    const answers = await Promise.all(blobs.map(({ digest }) => get(digest)))

    expect(kept.map(sha256Of)).toEqual(kept.map((file) => basename(file)))
    expect(answers.map(({ digest }) => digest)).toEqual(blobs.map(({ digest }) => digest))
    expect(upstream.requests('GET', 'blob').length - asked).toBeLessThanOrEqual(blobs.length - kept.length)
  })
})
