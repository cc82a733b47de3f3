import { describe, expect, it } from 'vitest'
import { linkKey } from '../../src/metadata/metadata.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { given } from './given.ts'

const digestsOf = async (list: AsyncIterable<{ digest: Digest }>) => {
  const digests: Digest[] = []
  for await (const { digest } of list) digests.push(digest)
  return digests
}

describe('images', () => {
  it('are listed in the order of their digests, from one on', async () => {
    const { images, blob, manifest, image } = given()
    const all = await Promise.all(['a', 'b', 'c'].map((name) => manifest('r', { name, layers: [] })))
    const [first, second, third] = all.sort()
    await blob('r', 'layer')
    await image('r/s')
    expect(await digestsOf(images.list('r'))).toEqual([first, second, third])
    expect(await digestsOf(images.list('r', second))).toEqual([second, third])
  })

  it('that are not in the store are not told of, nor those that another upstream vouched for', async () => {
    const { images, blobs, metadata, manifest, tag } = given()
    const gone = await manifest('r', { name: 'gone', layers: [] })
    const strange = await manifest('r', { name: 'strange', layers: [] })
    const there = await manifest('r', { name: 'there', layers: [] })
    await blobs.delete(gone)
    const link = await metadata.links.get(linkKey('r', strange))
    if (link) await metadata.links.set(linkKey('r', strange), { ...link, upstream: 'https://other.test' })
    await tag('r', 'gone', gone)
    await tag('r', 'there', there)
    await tag('r', 'strange', there, 'https://other.test')
    expect(await digestsOf(images.list('r'))).toEqual([there])
    expect(await images.tagsOf('r', there)).toEqual(['there'])
    expect(await images.tagged('r', 'gone')).toBeUndefined()
    expect(await images.tagged('r', 'strange')).toBeUndefined()
    expect(await images.tagged('r', 'there')).toMatchObject({ digest: there, mediaType: mediaTypes.ociManifest })
  })

  it('are as large as they declare, and an index as the largest of it that is there', async () => {
    const { images, manifest, index, clock } = given()
    clock.now = 7
    const small = await manifest('r', { config: { size: 1, mediaType: 'c' }, layers: [{ size: 2 }, { size: 3 }] })
    const large = await manifest('r', { config: { size: 100 }, layers: [{ size: 200 }] })
    const list = await index('r', small, large, `sha256:${'0'.repeat(64)}`)
    const empty = await index('r', `sha256:${'0'.repeat(64)}`)
    const factsOf = async (digest: Digest) => {
      const image = await images.get('r', digest)
      if (!image) throw new Error('there is no such image')
      expect(image.heldSince).toBe(7)
      return images.facts('r', image)
    }
    expect(await factsOf(small)).toEqual({ size: 6, artifactType: 'c' })
    expect(await factsOf(list)).toEqual({ size: 300 })
    expect(await factsOf(empty)).toEqual({})
  })

  it('hold blobs, of a size', async () => {
    const { images, blob } = given()
    const layer = await blob('r', 'layer')
    expect(await images.blobSize('r', layer)).toBe(5)
    expect(await images.blobSize('s', layer)).toBeUndefined()
  })
})
