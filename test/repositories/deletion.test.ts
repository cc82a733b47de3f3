import { describe, expect, it } from 'vitest'
import { linkKey } from '../../src/metadata/metadata.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { subscribe } from '../../src/telemetry/events.ts'
import { collect } from '../support/collect.ts'
import { given, upstream } from './given.ts'

describe('the deletion of images', () => {
  it('leaves nothing of an image, in metadata, memory or store', async () => {
    const { deletion, metadata, forgotten, blob, image, tag, stored, keys } = given()
    const layer = await blob('r', 'layer')
    const digest = await image('r', layer)
    for (const name of ['a', 'b']) await tag('r', name, digest)
    await metadata.referrers.set(linkKey('r', digest), { referrers: [], upstream, checkedAt: 0 })
    await metadata.pulls.set(linkKey('r', digest), { pulledAt: 1 })

    const { images, referenced } = await deletion.images('r', [digest])
    expect([...images]).toEqual([[digest, ['a', 'b']]])
    expect(referenced).toEqual([])
    expect(await keys()).toEqual([])
    expect(await stored(digest, layer)).toEqual([])
    expect(forgotten.sort()).toEqual([digest, layer].sort())
  })

  it('keeps what another image needs, of the same repository or of another', async () => {
    const { deletion, blob, image, stored, metadata } = given()
    const [own, shared, elsewhere, unfetched] = await Promise.all(
      ['own', 'shared', 'elsewhere', 'unfetched'].map((text) => blob('r', text)),
    )
    if (!own || !shared || !elsewhere || !unfetched) throw new Error('nothing was stored')
    const digest = await image('r', own, shared, elsewhere, unfetched)
    const other = await image('r', shared)
    await blob('s', 'elsewhere')
    await image('t', unfetched)

    await deletion.images('r', [digest])
    expect(await stored(digest, own, shared, elsewhere, unfetched, other)).toEqual([
      shared,
      elsewhere,
      unfetched,
      other,
    ])
    expect(await metadata.links.get(linkKey('r', shared))).toBeDefined()
    expect(await metadata.links.get(linkKey('r', elsewhere))).toBeUndefined()
    expect(await metadata.links.get(linkKey('s', elsewhere))).toBeDefined()
  })

  it('keeps the bytes of an image that another repository holds as well', async () => {
    const { deletion, image, stored, keys } = given()
    const digest = await image('r')
    await image('s')
    await deletion.images('r', [digest])
    expect(await stored(digest)).toEqual([digest])
    expect(await keys()).toEqual([linkKey('s', digest)])
  })

  it('takes with an index what only it lists, unless that has a tag', async () => {
    const { deletion, blob, image, index, tag, stored } = given()
    const layers = await Promise.all(['one', 'two', 'three'].map((text) => blob('r', text)))
    const [one, two, three] = await Promise.all(layers.map((layer) => image('r', layer)))
    if (!one || !two || !three) throw new Error('nothing was stored')
    await tag('r', 'kept', two)
    const first = await index('r', one, two, three)
    const second = await index('r', three)

    const { images } = await deletion.images('r', [first])
    expect([...images.keys()].sort()).toEqual([first, one].sort())
    expect(await stored(one, two, three, second, ...layers)).toEqual([two, three, second, layers[1], layers[2]])
  })

  it('refuses a child of an index that stays, and takes both in one call', async () => {
    const { deletion, image, index, stored } = given()
    const child = await image('r')
    const inner = await index('r', child)
    const outer = await index('r', inner)

    expect((await deletion.images('r', [child, inner])).referenced).toEqual([child, inner])
    expect(await stored(child, inner, outer)).toEqual([child, inner, outer])
    expect((await deletion.images('r', [child, inner, outer])).referenced).toEqual([])
    expect(await stored(child, inner, outer)).toEqual([])
  })

  it('passes over what is not held, and what is no image', async () => {
    const { deletion, blob, image, stored } = given()
    const layer = await blob('r', 'layer')
    const foreign = await image('s', layer)
    const { images, referenced } = await deletion.images('r', [layer, foreign])
    expect([images.size, referenced]).toEqual([0, []])
    expect(await stored(layer, foreign)).toEqual([layer, foreign])
  })

  it('lets readers finish, and leaves what is in use', async () => {
    const { deletion, blobs, inUse, blob, image, stored } = given()
    const [read, used] = await Promise.all(['read', 'used'].map((text) => blob('r', text)))
    if (!read || !used) throw new Error('nothing was stored')
    const digest = await image('r', read, used)
    inUse.add(used)
    const open = await blobs.open(read)
    await deletion.images('r', [digest])
    expect(await stored(digest, read, used)).toEqual([used])
    if (open) expect((await collect(open.body())).toString()).toBe('read')
  })

  it('go on where a blob cannot be removed, and say so', async () => {
    const { deletion, blobs, blob, image, stored, keys } = given()
    const faults: string[] = []
    const unsubscribe = subscribe('cistern:fault', ({ reference = '' }) => faults.push(reference))
    const stuck = await blob('r', 'stuck')
    const digest = await image('r', stuck, await blob('r', 'loose'))
    const remove = blobs.delete.bind(blobs)
    blobs.delete = async (each) => {
      if (each === stuck) throw new Error('EIO')
      return remove(each)
    }
    await deletion.images('r', [digest])
    unsubscribe()
    expect(await keys()).toEqual([])
    expect(await stored(digest, stuck)).toEqual([stuck])
    expect(faults).toEqual([stuck])
  })

  it('that are cut short leave an image that is there, and are done by the next one', async () => {
    const { deletion, metadata, images, blob, image, tag, stored, keys } = given()
    const layer = await blob('r', 'layer')
    const digest = await image('r', layer)
    await tag('r', 'a', digest)
    const remove = metadata.links.delete
    metadata.links.delete = async () => {
      throw new Error('killed')
    }
    await expect(deletion.images('r', [digest])).rejects.toThrow('killed')
    metadata.links.delete = remove
    expect(await images.get('r', digest)).toBeDefined()
    expect(await stored(digest, layer)).toEqual([digest, layer])
    await deletion.images('r', [digest])
    expect([await keys(), await stored(digest, layer)]).toEqual([[], []])
  })

  it('come one after the other, however many are asked for at once', async () => {
    const { deletion, blob, image, stored } = given()
    const layer = await blob('r', 'shared')
    const own = await blob('r', 'own')
    const digests = [await image('r', layer), await image('r', layer, own)]
    const deleted = await Promise.all(digests.map((digest) => deletion.images('r', [digest])))
    expect(deleted.map(({ images }) => images.size)).toEqual([1, 1])
    expect(await stored(layer, own, ...digests)).toEqual([])
  })
})

it('the deletion of many images lets others have their turn', async () => {
  const { deletion, blob, image, keys } = given()
  const layer = await blob('r', 'layer')
  const digests: Digest[] = []
  for (let number = 0; number < 50; number++) digests.push(await image('r', layer, await blob('r', `${number}`)))
  let turns = 0
  let waiting = setImmediate(function turn() {
    turns++
    waiting = setImmediate(turn)
  })
  await deletion.images('r', digests)
  clearImmediate(waiting)
  expect(await keys()).toEqual([])
  expect(turns).toBeGreaterThan(50)
})

it('the deletion of everything empties one repository', async () => {
  const { deletion, blob, image, tag, stored, keys } = given()
  const layer = await blob('r', 'layer')
  const loose = await blob('r', 'loose')
  const digest = await image('r', layer)
  await tag('r', 'a', digest)
  await tag('r', 'dangling', loose)
  const other = await image('r/s', loose)
  await tag('r/s', 'a', other)
  await deletion.everything('r')
  expect(await stored(layer, loose, digest, other)).toEqual([loose, other])
  expect((await keys()).every((key) => key.startsWith('r/s'))).toBe(true)
})
