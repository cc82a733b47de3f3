import fc from 'fast-check'
import { expect, it } from 'vitest'
import { digestOf, isDigest } from '../../src/oci/digest.ts'
import { RegistryError } from '../../src/oci/errors.ts'
import { collect } from '../support/collect.ts'
import { image, index } from '../support/faulty-upstream.ts'
import { layoutTar, named } from '../support/layout.ts'
import { given } from './given.ts'

const both = index([image({ seed: 'amd64', layers: [700] }), image({ seed: 'arm64', layers: [900] })])
const about = image({ seed: 'sbom', layers: [10], subject: both.descriptor })
const good = layoutTar([named(both, 'hub/both:v1'), named(about, `hub/both@${about.digest}`)])

/** What becomes of a bundle on its way: bits that flip, bytes that change, pieces that are lost, doubled or moved. */
const damage = fc.oneof(
  fc.record({ kind: fc.constant('flip' as const), at: fc.nat(good.length - 1), bit: fc.nat(7) }),
  fc.record({ kind: fc.constant('set' as const), at: fc.nat(good.length - 1), byte: fc.nat(255) }),
  fc.record({ kind: fc.constant('cut' as const), at: fc.nat(good.length - 1), length: fc.nat(3000) }),
  fc.record({ kind: fc.constant('double' as const), block: fc.nat(good.length / 512 - 1), blocks: fc.nat(6) }),
  fc.record({ kind: fc.constant('end' as const), at: fc.nat(good.length - 1) }),
)

function damaged(bytes: Buffer, what: typeof damage extends fc.Arbitrary<infer T> ? T : never): Buffer {
  const copy = Buffer.from(bytes)
  switch (what.kind) {
    case 'flip':
      if (what.at < copy.length) copy[what.at] = (copy[what.at] ?? 0) ^ (1 << what.bit)
      return copy
    case 'set':
      if (what.at < copy.length) copy[what.at] = what.byte
      return copy
    case 'cut':
      return Buffer.concat([copy.subarray(0, what.at), copy.subarray(what.at + what.length)])
    case 'double': {
      const [from, to] = [what.block * 512, (what.block + what.blocks) * 512]
      return Buffer.concat([copy.subarray(0, to), copy.subarray(from)])
    }
    default:
      return copy.subarray(0, what.at)
  }
}

it('shows nothing but whole images of right bytes, whatever becomes of a bundle', async () => {
  const outcomes = new Set<string>()
  const attempt = async (damages: Parameters<typeof damaged>[1][]) => {
    const { take, blobs, metadata, holds } = given()
    const bundle = damages.reduce<Buffer>(damaged, good)
    try {
      const report = await take(bundle)
      outcomes.add('taken')
      for (const { state } of report.images) outcomes.add(state)
    } catch (error) {
      expect(error).toBeInstanceOf(RegistryError)
      outcomes.add((error as RegistryError).kind)
    }
    expect(holds.size).toBe(0)
    const links = new Map(await Array.fromAsync(metadata.links.entries()))
    for (const [key, { size, mediaType, needs = [] }] of links) {
      const [repository = '', digest = ''] = key.split('@')
      if (!isDigest(digest)) throw new Error(key)
      const blob = await blobs.open(digest)
      const bytes = blob && (await collect(blob.body()))
      expect([bytes && digestOf(bytes), bytes?.length]).toEqual([digest, size])
      if (mediaType?.includes('manifest'))
        for (const need of needs) expect(links.has(`${repository}@${need}`)).toBe(true)
    }
    for (const [key, { digest }] of await Array.fromAsync(metadata.tags.entries())) {
      expect(links.get(`${key.slice(0, key.lastIndexOf(':'))}@${digest}`)?.mediaType).toBeDefined()
    }
  }
  await fc.assert(fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 3 }), attempt), { numRuns: 300 })
  expect([...outcomes]).toEqual(expect.arrayContaining(['taken', 'whole', 'invalid', 'corrupt']))
}, 60_000)
