import { readdir, readFile, readlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { ScrubReport } from '../../src/cache/scrub.ts'
import { command } from '../support/command.ts'
import { eventually } from '../support/eventually.ts'
import { blobOf, image, randomBlob } from '../support/faulty-upstream.ts'
import { digestOfBytes, type Got } from './client.ts'
import { Ground } from './ground.ts'

const repository = 'team/app'

/** A Cistern that holds an image of four blobs and a manifest, and ways to damage them. */
async function given(config: Record<string, unknown> = {}) {
  const ground = await Ground.start({ sites: 1, rule: { tagTtl: '1h' }, config })
  const site = ground.site()
  const pulled = site.upstream.addImage(repository, 'latest', image({ layers: [300_000, 200_000, 100_000] }))
  const blobs = [pulled.config, ...pulled.layers]
  const pull = async () => {
    const manifest = await site.manifest(repository, pulled.digest)
    return [manifest, ...(await Promise.all(blobs.map(({ digest }) => site.blob(repository, digest))))]
  }
  await pull()
  await Promise.all(blobs.map(({ digest }) => ground.keeps(digest)))
  site.upstream.forget()
  const file = (digest: string) => {
    const hex = digest.slice('sha256:'.length)
    return join(ground.cistern.dataDir, 'v1', 'blobs', 'sha256', hex.slice(0, 2), hex)
  }
  const digests = [pulled, ...blobs].map(({ digest }) => digest)
  return { ground, cistern: ground.cistern, site, pulled, digests, file, pull }
}

type Given = Awaited<ReturnType<typeof given>>

/** A flipped bit, a file cut off, and one with other bytes: a layer each, and the manifest. */
async function damageThree({ pulled, file }: Given): Promise<string[]> {
  const [flipped, cut] = pulled.layers.map(({ digest }) => digest)
  if (!flipped || !cut) throw new Error('the image has too few layers')
  const bytes = await readFile(file(flipped))
  bytes.writeUInt8(bytes.readUInt8(1000) ^ 4, 1000)
  await writeFile(file(flipped), bytes)
  await truncate(file(cut), 1000)
  await writeFile(file(pulled.digest), Buffer.alloc(pulled.bytes.length, ' '))
  return [flipped, cut, pulled.digest].sort()
}

/** What the process has open, as far as it still does when it is looked at. */
async function openFiles({ cistern }: Given): Promise<string[]> {
  const folder = `/proc/${cistern.pid}/fd`
  return await Promise.all((await readdir(folder)).map((fd) => readlink(join(folder, fd)).catch(() => '')))
}

const digestsOf = (answers: Got[]) => answers.map(({ status, body }) => (status === 200 ? digestOfBytes(body) : status))

const quarantined = ({ cistern }: Given) => readdir(join(cistern.dataDir, 'v1', 'quarantine')).catch((): string[] => [])

const asked = ({ site }: Given) => site.upstream.requests('GET').map(({ reference }) => reference)

describe.each(['running', 'stopped'])('cistern scrub on a %s instance', (state) => {
  it('G96: finds three damaged blobs and heals them from upstream', async () => {
    const all = await given()
    await using _ = all.ground
    const damaged = await damageThree(all)
    if (state === 'stopped') await all.cistern.stop()

    const { status, stdout, stderr } = await command(all.cistern, 'scrub', '--json')

    const report = JSON.parse(stdout) as ScrubReport
    expect({ status, stderr, checked: report.checked, skipped: report.skipped }).toEqual({
      status: 0,
      stderr: '',
      checked: 5,
      skipped: 0,
    })
    expect(report.damaged).toEqual(damaged.map((digest) => ({ digest, healed: true })))
    expect(asked(all).sort()).toEqual(damaged)
    expect(await quarantined(all)).toEqual(damaged.map((digest) => `${digest.replace(':', '-')}-1`))
    for (const digest of damaged) expect(digestOfBytes(await readFile(all.file(digest)))).toBe(digest)

    if (state === 'stopped') await all.cistern.restart()
    await all.site.upstream.goDown()
    expect(digestsOf(await all.pull())).toEqual(all.digests)
    expect((await command(all.cistern, 'scrub')).stdout).toMatch(
      /^5 blobs of \d+ bytes checked .*\n0 damaged, 0 healed\n$/,
    )
  })

  it('G96: says so where upstream is down, and later pulls refetch', async () => {
    const all = await given()
    await using _ = all.ground
    const damaged = await damageThree(all)
    if (state === 'stopped') await all.cistern.stop()
    await all.site.upstream.goDown()

    const { status, stdout } = await command(all.cistern, 'scrub')

    expect(status).toBe(1)
    expect(stdout).toContain('\n3 damaged, 0 healed\n')
    for (const digest of damaged) expect(stdout).toContain(`  ${digest} not healed: site0.test/${repository}: `)
    expect(await quarantined(all)).toHaveLength(3)

    await all.site.upstream.comeUp()
    if (state === 'stopped') await all.cistern.restart()
    await eventually(async () => expect(digestsOf(await all.pull())).toEqual(all.digests))
    await Promise.all(damaged.map((digest) => all.ground.keeps(digest)))
    expect((await command(all.cistern, 'scrub')).status).toBe(0)
  })
})

describe('a scrub', () => {
  it('B43: takes the empty blob for right', async () => {
    const all = await given()
    await using _ = all.ground
    const { digest } = all.site.upstream.addBlob(repository, blobOf(''))
    expect((await all.site.blob(repository, digest)).status).toBe(200)
    await all.ground.keeps(digest)
    const { status, stdout } = await command(all.cistern, 'scrub', '--json')
    expect({ status, ...JSON.parse(stdout) }).toMatchObject({ status: 0, checked: 6, damaged: [] })
  })

  it('runs by itself in the background, and shows in the metrics', async () => {
    const all = await given({ scrub: { interval: '100ms', bytesPerSecond: 0 } })
    await using _ = all.ground
    const damaged = await damageThree(all)
    await eventually(async () => {
      expect(await all.ground.metrics()).toContain('\ncistern_scrub_healed_total 3\n')
    })
    expect(await all.ground.metrics()).toContain('\ncistern_scrub_damaged_total 3\n')
    for (const digest of damaged) expect(digestOfBytes(await readFile(all.file(digest)))).toBe(digest)
    const recorded = await readFile(join(all.cistern.dataDir, 'scrubbed-at'), 'utf8')
    expect(Date.parse(recorded)).toBeGreaterThan(0)
  })

  it('lets clients be served while it reads within its budget, and ends with the instance', async () => {
    const all = await given()
    await using _ = all.ground
    await all.cistern.restart() // whatever blob is open from here on, the scrub has open
    const scrubbing = command(all.cistern, 'scrub', '--scrub-bytes-per-second', '1')
    await eventually(async () => expect((await openFiles(all)).join()).toMatch(/\/v1\/blobs\/sha256\/..\/\w{64}/))
    const another = all.site.upstream.addBlob(repository, randomBlob(500_000, 'another'))
    expect(digestsOf([await all.site.blob(repository, another.digest)])).toEqual([another.digest])
    expect(digestsOf(await all.pull())).toEqual(all.digests)
    expect(await all.cistern.stop()).toBe(0)
    expect(await scrubbing).toMatchObject({ status: 1, stdout: '' })
  })
})
