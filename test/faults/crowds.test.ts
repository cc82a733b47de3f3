import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { randomBlob } from '../support/faulty-upstream.ts'
import { fetchDigest } from '../support/http.ts'
import { digestOfBytes, open, take } from './client.ts'
import { Ground } from './ground.ts'

const MiB = 1024 * 1024
const repository = 'team/app'

describe('many clients, slow clients', () => {
  it('D59: five hundred of them, one cold blob: one transfer, all bytes right', async () => {
    await using ground = await Ground.start({ sites: 1 })
    const site = ground.site()
    const { upstream } = site
    const blob = upstream.addBlob(repository, randomBlob(8 * MiB, 'D59'))
    const url = site.url(`${repository}/blobs/${blob.digest}`)
    const all = await Promise.all(Array.from({ length: 500 }, () => fetchDigest(url)))
    expect(new Set(all.map(({ status, digest }) => `${status} ${digest}`))).toEqual(new Set([`200 ${blob.digest}`]))
    expect(upstream.requests()).toHaveLength(1)
  }, 60_000)

  it('D60: one that stops reading leads: the others have it all, it is stored, and that one is cut off', async () => {
    await using ground = await Ground.start({ sites: 1, timeouts: { writeStall: '1s' } })
    const site = ground.site()
    const blob = site.upstream.addBlob(repository, randomBlob(64 * MiB, 'D60'))
    const slow = await open(site.url(`${repository}/blobs/${blob.digest}`))
    const first = await take(slow, 1)

    const fast = await fetchDigest(site.url(`${repository}/blobs/${blob.digest}`))

    expect(fast).toMatchObject({ status: 200, digest: blob.digest })
    await ground.keeps(blob.digest)
    const over = 'cistern_http_requests_total{route="blob",method="GET",code="200"} 2'
    await eventually(async () => expect(await ground.metrics()).toContain(over))
    const rest: Buffer[] = []
    const reading = async () => {
      for await (const chunk of slow as AsyncIterable<Buffer>) rest.push(chunk)
    }
    await expect(reading()).rejects.toThrow('aborted')
    expect(slow.complete).toBe(false)
    expect(site.upstream.requests()).toHaveLength(1)
    const got = Buffer.concat([first, ...rest])
    expect(digestOfBytes(got)).toBe(digestOfBytes(blob.slice(0, got.length)))
    expect(await readdir(join(ground.cistern.dataDir, 'v1', 'ingest'))).toEqual([])
  })
})
