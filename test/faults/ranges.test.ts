import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { image, randomBlob } from '../support/faulty-upstream.ts'
import { take } from './client.ts'
import { Ground } from './ground.ts'

const MiB = 1024 * 1024
const repository = 'team/app'

let ground: Ground

beforeAll(async () => {
  ground = await Ground.start({ sites: 5 })
})

afterAll(() => ground[Symbol.asyncDispose]())

function siteWith(size: number, seed: string) {
  const site = ground.site()
  return { site, upstream: site.upstream, blob: site.upstream.addBlob(repository, randomBlob(size, seed)) }
}

describe.concurrent('ranges', () => {
  const size = 3 * MiB
  const cases: [string, number, [number, number]?][] = [
    ['bytes=0-99', 206, [0, 100]],
    ['bytes=1000000-1999999', 206, [1_000_000, 2_000_000]],
    [`bytes=${size - 5}-`, 206, [size - 5, size]],
    ['bytes=-7', 206, [size - 7, size]],
    [`bytes=-${size * 2}`, 206, [0, size]],
    [`bytes=100-${size * 2}`, 206, [100, size]],
    ['bytes=0-0', 206, [0, 1]],
    ['bytes=500-0', 416],
    [`bytes=${size}-`, 416],
    [`bytes=${size}-${size + 1}`, 416],
    ['bytes=0-1,5-6', 200, [0, size]],
    ['bytes=x-y', 200, [0, size]],
    ['lines=0-5', 200, [0, size]],
  ]

  it.each(['cold', 'warm', 'in flight'])('D62: of a %s blob: the right bytes or the right refusal', async (state) => {
    const { site, upstream, blob } = siteWith(size, `D62 ${state}`)
    if (state === 'warm') {
      await site.blob(repository, blob.digest)
      await ground.keeps(blob.digest)
    }
    const { promise: resume, resolve: goOn } = Promise.withResolvers<void>()
    if (state === 'in flight') {
      upstream.fault('blob', { pauseAfter: 2 * MiB, resume })
      await take(await site.openBlob(repository, blob.digest), 2 * MiB - 1)
    }
    const asked = cases.map(([range]) => site.blob(repository, blob.digest, { headers: { range } }))
    await asked[0] // its bytes are there, whatever is still to come
    goOn()
    const all = await Promise.all(asked)
    for (const [position, [range, status, slice]] of cases.entries()) {
      const got = all[position]
      expect([range, got?.status]).toEqual([range, status])
      if (!slice) {
        expect(got?.headers['content-range']).toBe(`bytes */${size}`)
        continue
      }
      expect([range, got?.body.equals(blob.slice(...slice))]).toEqual([range, true])
      if (status === 206) expect(got?.headers['content-range']).toBe(`bytes ${slice[0]}-${slice[1] - 1}/${size}`)
    }
    expect(upstream.requests('GET', 'blob').length).toBeLessThanOrEqual(1)
  })

  it('D63: twenty open ends that are closed early, of a cold blob: one transfer, right bytes', async () => {
    const { site, upstream, blob } = siteWith(16 * MiB, 'D63')
    const chunk = 700_000
    await Promise.all(
      Array.from({ length: 20 }, async (_, position) => {
        const start = position * chunk
        const response = await site.openBlob(repository, blob.digest, { headers: { range: `bytes=${start}-` } })
        expect(response.statusCode).toBe(206)
        const bytes = await take(response, chunk)
        response.destroy()
        expect(bytes.subarray(0, chunk).equals(blob.slice(start, start + chunk))).toBe(true)
      }),
    )
    await ground.keeps(blob.digest)
    expect(upstream.requests('GET', 'blob')).toHaveLength(1)
  })

  it('D64: conditions by digest', async () => {
    const { site, blob } = siteWith(1000, 'D64')
    const { digest } = site.upstream.addImage(repository, 'v1', image({ seed: 'D64' }))
    const etag = `"${blob.digest}"`
    const get = (headers: Record<string, string>) => site.blob(repository, blob.digest, { headers })
    expect(await get({})).toMatchObject({ status: 200, headers: { etag } })
    const unchanged = await get({ 'if-none-match': etag })
    expect(unchanged).toMatchObject({ status: 304, headers: { etag } })
    expect(unchanged.body).toHaveLength(0)
    expect(await get({ range: 'bytes=0-9', 'if-range': etag })).toMatchObject({ status: 206 })
    expect(await get({ range: 'bytes=0-9', 'if-range': '"another"' })).toMatchObject({ status: 200 })
    const again = await site.manifest(repository, 'v1', { headers: { 'if-none-match': `W/"x", "${digest}"` } })
    expect(again.status).toBe(304)
  })
})
