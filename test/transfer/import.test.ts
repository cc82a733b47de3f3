import { gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { linkKey } from '../../src/metadata/metadata.ts'
import { dockerList, image, index, manifestOf, ociManifest } from '../support/faulty-upstream.ts'
import { blobEntries, blobEntry, indexEntry, layoutEntry, layoutTar, named } from '../support/layout.ts'
import { digestsOf } from '../support/pull.ts'
import { type TarEntry, tarOf } from '../support/tar.ts'
import { given, upstream } from './given.ts'

const app = image({ seed: 'app', layers: [5000, 3_000_000] })
const keysOf = (repository: string, digests: readonly string[]) => digests.map((digest) => `${repository}@${digest}`)

describe('a bundle', () => {
  it('is shown as if it had been pulled, and is to be checked by the next pull', async () => {
    const { take, links, tags, stored, metadata, holds } = given()
    const report = await take(layoutTar([named(app, 'hub/team/app:v1')]))
    const bytes = app.bytes.length + app.config.size + 3_005_000
    expect(report).toEqual({
      images: [{ reference: 'hub/team/app:v1', digest: app.digest, state: 'whole' }],
      stored: { blobs: 4, bytes },
      skipped: { blobs: 0, bytes: 0 },
      damaged: [],
      unreferenced: [],
    })
    expect(await stored()).toEqual(digestsOf(app).sort())
    expect(await links()).toEqual(keysOf('hub/team/app', digestsOf(app)).sort())
    expect(await metadata.links.get(linkKey('hub/team/app', app.digest))).toEqual({
      size: app.bytes.length,
      mediaType: ociManifest,
      needs: digestsOf(app).slice(1),
      upstream,
      linkedAt: 1_000_000,
    })
    expect(await metadata.tags.get('hub/team/app:v1')).toEqual({
      ...{ digest: app.digest, upstream, checkedAt: 0, movedAt: 1_000_000 },
    })
    expect(await tags()).toEqual({ 'hub/team/app:v1': app.digest })
    expect(await metadata.repositories.get('hub/team/app')).toEqual({ createdAt: 1_000_000 })
    expect(holds.size).toBe(0)

    const again = await take(layoutTar([named(app, 'hub/team/app:v1')]))
    expect([again.stored.blobs, again.skipped]).toEqual([0, { blobs: 4, bytes }])
  })

  it.each([
    ['gzip', gzipSync],
    ['zstd', zstdCompressSync],
  ])('is taken compressed by %s', async (_, compress) => {
    const { take, tags } = given()
    await take(compress(layoutTar([named(app, 'hub/app:v1')])))
    expect(await tags()).toEqual({ 'hub/app:v1': app.digest })
  })

  it('is taken with dots in front of its names, directories and files of other tools', async () => {
    const { take, tags } = given()
    const entries = [...blobEntries([app]), indexEntry([named(app, 'hub/app:v1')]), layoutEntry]
    const packed = entries.map((entry) => ({ ...entry, name: `./${entry.name}` }))
    const others = [{ name: './', type: '5' }, { name: './blobs/', type: '5' }, { name: 'manifest.json' }]
    expect((await take(tarOf([...others, ...packed]))).images).toMatchObject([{ state: 'whole' }])
    expect(await tags()).toEqual({ 'hub/app:v1': app.digest })
  })

  it('has its images under names that no rule leads to as well', async () => {
    const { take, links, metadata } = given()
    await take(layoutTar([named(app, 'elsewhere.example/app:v1')]))
    expect(await links()).toEqual(keysOf('elsewhere.example/app', digestsOf(app)).sort())
    expect(await metadata.tags.get('elsewhere.example/app:v1')).toMatchObject({ digest: app.digest, upstream: '' })
    expect(await metadata.repositories.get('elsewhere.example/app')).toBeDefined()
  })

  it('is named by containerd, by its tag and where it belongs, or by where it belongs alone', async () => {
    const { take } = given()
    const byContainerd = {
      image: app,
      annotations: { 'org.opencontainers.image.ref.name': 'v1', 'io.containerd.image.name': 'hub/app:v1' },
    }
    const other = image({ seed: 'other' })
    const ours = await take(layoutTar([named(app, 'cistern.test:5000/hub/app:v3')]))
    expect(ours.images).toMatchObject([{ reference: 'hub/app:v3', state: 'whole' }])
    const bundle = layoutTar([byContainerd, named(app, 'v2'), named(other)])
    const { images } = await take(bundle, 'hub/given')
    expect(images.map(({ reference, state }) => [reference, state])).toEqual([
      ['hub/app:v1', 'whole'],
      ['hub/given:v2', 'whole'],
      [`hub/given@${other.digest}`, 'whole'],
    ])
    const without = await given().take(bundle)
    expect(without.images.map(({ state, reason }) => [state, reason])).toEqual([
      ['whole', undefined],
      ['refused', 'it has only a tag there: --name REPOSITORY says where it belongs'],
      ['refused', 'it has no name there: --name REPOSITORY says where it belongs'],
    ])
  })

  it('in which nothing is named is refused before its blobs are taken, where that can be seen', async () => {
    const { take, stored } = given()
    const entries = [layoutEntry, indexEntry([named(app, 'latest')]), ...blobEntries([app])]
    await expect(take(tarOf(entries))).rejects.toThrow('nothing in it can be named: latest: it has only a tag there')
    await expect(take(layoutTar([named(app)]))).rejects.toThrow(/can be named: sha256:.* no name there: --name/)
    expect(await stored()).toEqual([])
  })

  it('of platforms has its index verbatim, and what is there of it', async () => {
    const [amd64, arm64] = [image({ seed: 'amd64' }), image({ seed: 'arm64' })]
    const both = index([amd64, arm64], dockerList)
    const some = blobEntries([both]).filter(({ name }) => !name.endsWith(arm64.layers[0]?.digest.slice(7) ?? ''))
    const entries = [...some, indexEntry([named(both, 'hub/both:v1')]), layoutEntry]
    const inventory = (expected: readonly string[]): TarEntry => ({
      name: 'inventory.json',
      bytes: Buffer.from(
        JSON.stringify({ version: 1, images: [], blobs: Object.fromEntries(expected.map((d) => [d, 1])), base: {} }),
      ),
    })
    const known = { reference: 'hub/both:v1', digest: both.digest, platforms: ['linux/amd64'] }
    const missing = [{ platform: 'linux/arm64', digest: arm64.layers[0]?.digest }]

    const foreign = given()
    expect((await foreign.take(tarOf(entries))).images).toEqual([{ ...known, missing, state: 'incomplete' }])
    const shown = [both.digest, ...digestsOf(amd64)]
    expect(await foreign.links()).toEqual(keysOf('hub/both', shown).sort())
    expect(await foreign.tags()).toEqual({ 'hub/both:v1': both.digest })
    const meant = await given().take(tarOf([inventory(shown), ...entries]))
    expect(meant.images).toEqual([{ ...known, missing, state: 'in part' }])
    const expected = await given().take(tarOf([inventory([...shown, ...digestsOf(arm64)]), ...entries]))
    expect(expected.images).toMatchObject([{ state: 'incomplete' }])
    const garbled = await given().take(tarOf([{ name: 'inventory.json', bytes: Buffer.from('[]') }, ...entries]))
    expect(garbled.images).toMatchObject([{ state: 'incomplete' }])
  })

  it('without its base says what is missing, takes what is whole, and completes it with the base', async () => {
    const { take, tags, links } = given()
    const next = image({ seed: 'app', layers: [5000, 7000] })
    expect(next.layers[0]?.digest).toBe(app.layers[0]?.digest)
    const other = image({ seed: 'other' })
    const own = blobEntries([next]).filter(({ name }) => !blobEntries([app]).some((entry) => entry.name === name))
    const images = [named(next, 'hub/app:v2'), named(other, 'hub/other:v1')]
    const delta = tarOf([...own, ...blobEntries([other]), indexEntry(images), layoutEntry])

    const alone = await take(delta)
    expect(alone.images).toEqual([
      {
        reference: 'hub/app:v2',
        digest: next.digest,
        state: 'missing',
        missing: [{ digest: app.layers[0]?.digest }],
      },
      { reference: 'hub/other:v1', digest: other.digest, state: 'whole' },
    ])
    expect(alone.unreferenced).toEqual([])
    expect(await tags()).toEqual({ 'hub/other:v1': other.digest })
    expect((await links()).filter((key) => key.startsWith('hub/app@'))).toEqual([])

    await take(layoutTar([named(app, 'hub/app:v1')]))
    const after = await take(delta)
    expect(after.images.map(({ state }) => state)).toEqual(['whole', 'whole'])
    expect(after.stored.blobs).toBe(0)
    expect(await tags()).toMatchObject({ 'hub/app:v1': app.digest, 'hub/app:v2': next.digest })
  })

  it('brings what is about an image, for the list of it, beside what was known', async () => {
    const { take, metadata } = given()
    const about = (seed: string, annotations?: Record<string, string>) =>
      image({
        seed,
        layers: [10],
        subject: app.descriptor,
        artifactType: 'application/vnd.test',
        ...(annotations && { annotations }),
      })
    const [first, second] = [about('first', { a: 'b' }), about('second')]
    await take(layoutTar([named(first, `hub/app@${first.digest}`), named(app, 'hub/app:v1')]))
    const key = linkKey('hub/app', app.digest)
    const entry = { ...first.descriptor, artifactType: 'application/vnd.test', annotations: { a: 'b' } }
    expect(await metadata.referrers.get(key)).toEqual({ referrers: [entry], upstream, checkedAt: 0 })
    await metadata.referrers.set(key, { referrers: [entry], upstream, checkedAt: 7 })
    await take(layoutTar([named(second, `hub/app@${second.digest}`)]))
    expect(await metadata.referrers.get(key)).toMatchObject({
      referrers: [entry, { digest: second.digest }],
      checkedAt: 7,
    })
  })

  it('moves a tag, unless it is immutable, and leaves one alone that points there', async () => {
    const { take, metadata, settings, tags } = given()
    const next = image({ seed: 'next' })
    await take(layoutTar([named(app, 'hub/app:v1')]))
    await metadata.tags.set('hub/app:v1', { digest: app.digest, upstream, checkedAt: 5, movedAt: 5 })
    await take(layoutTar([named(app, 'hub/app:v1')]))
    expect(await metadata.tags.get('hub/app:v1')).toMatchObject({ checkedAt: 5, movedAt: 5 })
    await settings.change('hub/app', (before) => ({ ...before, tagMutability: 'IMMUTABLE' }))
    const { images } = await take(layoutTar([named(next, 'hub/app:v1')]))
    expect(images).toMatchObject([{ state: 'refused', reason: `the tag is immutable, and stays at ${app.digest}` }])
    expect(await tags()).toEqual({ 'hub/app:v1': app.digest })
    await settings.change('hub/app', (before) => ({ ...before, tagMutability: 'MUTABLE' }))
    await take(layoutTar([named(next, 'hub/app:v1')]))
    expect(await tags()).toEqual({ 'hub/app:v1': next.digest })
  })

  it('brings nothing that the rule keeps out', async () => {
    const { take, links, stored } = given({ deny: ['secret/*'] })
    const { images } = await take(layoutTar([named(app, 'hub/secret/app:v1')]))
    expect(images).toMatchObject([{ state: 'refused', reason: expect.stringContaining('not served here') }])
    expect([await links(), await stored()]).toEqual([[], digestsOf(app).sort()])
  })

  it('that does not fit is refused, and leaves nothing', async () => {
    const { take, stored, links } = given({ room: 1_000_000 })
    await expect(take(layoutTar([named(app, 'hub/app:v1')]))).rejects.toThrow(
      /^the bundle does not fit: a blob of it has 3000000 bytes, and there is room for \d+ more$/,
    )
    expect([await stored(), await links()]).toEqual([[], []])
  })

  it('that the disk has no room for is told so, and leaves nothing', async () => {
    const { take, stored, links, blobs } = given()
    const { create } = blobs
    let left = 2
    blobs.create = async (...parameters) => {
      if (left-- > 0) return create.apply(blobs, parameters)
      throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
    }
    await expect(take(layoutTar([named(app, 'hub/app:v1')]))).rejects.toThrow('could not be stored: ENOSPC')
    expect([await stored(), await links()]).toEqual([[], []])
  })

  it('that is cut off shows nothing, and need not be stored again as far as it came', async () => {
    const { take, links, stored } = given()
    const bundle = layoutTar([named(app, 'hub/app:v1')])
    await expect(take(bundle.subarray(0, 100_000))).rejects.toThrow(
      /^the bundle is broken: it cannot be read to its end/,
    )
    expect([await links(), (await stored()).length]).toEqual([[], 3])
    await expect(take(gzipSync(bundle).subarray(0, 100_000))).rejects.toThrow('the bundle is broken')
    const { stored: came, skipped } = await take(bundle)
    expect([came.blobs, skipped.blobs]).toEqual([1, 3])
  })

  it('lists at most so much', async () => {
    const large = { name: 'index.json', bytes: Buffer.alloc(9 * 1024 * 1024, ' ') }
    await expect(given().take(tarOf([large]))).rejects.toThrow('index.json has 9437184 bytes, and may have 8388608')
  })
})

describe('what is damaged or wrong in a bundle', () => {
  it('is told, and keeps nothing else out', async () => {
    const { take, tags, stored } = given()
    const other = image({ seed: 'other' })
    const [, , layer] = digestsOf(app)
    const entries = blobEntries([app, other]).map((entry) =>
      entry.name.endsWith(layer?.slice(7) ?? '') ? { ...entry, bytes: Buffer.from('something else') } : entry,
    )
    const images = [named(app, 'hub/app:v1'), named(other, 'hub/other:v1')]
    const report = await take(tarOf([...entries, indexEntry(images)]))
    expect(report.damaged).toEqual([{ digest: layer, reason: expect.stringContaining('expected') }])
    expect(report.images).toMatchObject([{ state: 'missing', missing: [{ digest: layer }] }, { state: 'whole' }])
    expect([await tags(), (await stored()).includes(layer as never)]).toEqual([{ 'hub/other:v1': other.digest }, false])
    await take(layoutTar([named(app, 'hub/app:v1')]))
    expect((await take(tarOf([...entries, indexEntry(images)]))).damaged).toHaveLength(1)
  })

  it('is not kept where no image needs it, and is where another repository shows it', async () => {
    const { take, stored, metadata } = given()
    const shown = Buffer.from('shown elsewhere')
    const further = [blobEntry(Buffer.from('nobody needs this')), blobEntry(shown)]
    const digest = `sha256:${further[1]?.name.split('/').at(-1)}` as const
    await metadata.links.set(linkKey('hub/other', digest), { size: shown.length, upstream, linkedAt: 1 })
    const { unreferenced } = await take(layoutTar([named(app, 'hub/app:v1')], further))
    expect(unreferenced).toHaveLength(2)
    expect(await stored()).toEqual([...digestsOf(app), digest].sort())
  })

  it.each([
    ['a document of two kinds', manifestOf({ layers: [], manifests: [] })],
    ['a document of no kind', manifestOf({ a: 1 }, 'text/plain')],
    ['no JSON', manifestOf('<html>', ociManifest)],
    ['an image that says that it is an index', manifestOf({ layers: [] }, dockerList)],
  ])('is refused as an image: %s', async (_, manifest) => {
    const { take, links } = given()
    const { images } = await take(layoutTar([named(manifest as never, 'hub/app:v1')]))
    expect(images).toMatchObject([{ reference: 'hub/app:v1', state: 'refused' }])
    expect(await links()).toEqual([])
  })

  it('is missing where a manifest lies about sizes, or the index about it', async () => {
    const { take, links } = given()
    const layer = app.layers[0]?.bytes() ?? Buffer.alloc(0)
    const lying = manifestOf({ schemaVersion: 2, layers: [{ digest: app.layers[0]?.digest, size: 1 }] })
    const listed = { ...lying, descriptor: { ...lying.descriptor, size: 1 } }
    const images = [named(lying as never, 'hub/a:v1'), named(listed as never, 'hub/b:v1')]
    const report = await take(tarOf([blobEntry(layer), blobEntry(lying.bytes), indexEntry(images)]))
    expect(report.images).toMatchObject([
      { state: 'missing', missing: [{ digest: app.layers[0]?.digest }] },
      { state: 'missing', missing: [{ digest: lying.digest }] },
    ])
    expect(await links()).toEqual([])
  })

  it.each([
    ['Upper/app:v1', 'a repository is lower-case'],
    ['../../etc/passwd', 'a repository is lower-case'],
    ['hub/app:v1@sha256:123', 'a digest is sha256:'],
    [`hub/app@sha256:${'0'.repeat(64)}`, 'its name says sha256:0000'],
    ['localhost:5000/app:v1', 'a repository is lower-case'],
  ])('is no name: %s', async (name, reason) => {
    const other = named(image({ seed: 'other' }), 'hub/other:v1')
    const { images } = await given().take(layoutTar([named(app, name), other]))
    expect(images).toMatchObject([{ state: 'refused', reason: expect.stringContaining(reason) }, { state: 'whole' }])
  })
})
