import { describe, expect, it } from 'vitest'
import type { OpenBlob } from '../../src/blobs/blob-store.ts'
import { MemoryStore } from '../../src/blobs/memory.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { factsIn, ManifestReader } from '../../src/repositories/manifest-reader.ts'

const subject = `sha256:${'0'.repeat(64)}`

/** A store that counts how often it is read, and how often at a time. */
class CountingStore extends MemoryStore {
  opened = 0
  most = 0
  #open = 0

  override async open(digest: Digest): Promise<OpenBlob | undefined> {
    const blob = await super.open(digest)
    if (!blob) return undefined
    this.opened++
    this.#open++
    this.most = Math.max(this.most, this.#open)
    return Object.assign(blob, {
      [Symbol.asyncDispose]: async () => {
        this.#open--
      },
    })
  }
}

async function given() {
  const blobs = new CountingStore()
  const store = async (bytes: Buffer, digest = digestOf(bytes)) => {
    await using writer = await blobs.create('sha256')
    await writer.write(bytes)
    await writer.commit({ digest })
    return digest
  }
  const manifest = (size: number) => store(Buffer.from(JSON.stringify({ layers: [{ size }] })))
  return { blobs, store, manifest, reader: new ManifestReader(blobs) }
}

describe('manifests', () => {
  it('are read once each, however many ask, and a few at a time', async () => {
    const { blobs, manifest, reader } = await given()
    const digests = await Promise.all(Array.from({ length: 20 }, (_, size) => manifest(size)))
    const asked = [...digests, ...digests].map((digest) => reader.facts(digest))
    const facts = await Promise.all(asked)
    expect(facts.map(({ declaredSize }) => declaredSize)).toEqual([...Array(20).keys(), ...Array(20).keys()])
    for (const digest of digests) await reader.facts(digest)
    expect([blobs.opened, blobs.most]).toEqual([20, 2])
  })

  it('that are not there or cannot be read say nothing, until they are', async () => {
    const { store, reader } = await given()
    const bytes = Buffer.from(JSON.stringify({ layers: [{ size: 7 }] }))
    const digest = digestOf(bytes)
    expect(await reader.facts(digest)).toEqual({})
    expect(await reader.facts(await store(Buffer.from('no manifest')))).toEqual({})
    await store(bytes)
    expect(await reader.facts(digest)).toEqual({ declaredSize: 7 })
  })

  it('that rotted say nothing, and what they say once they are healed', async () => {
    const { blobs, manifest, reader } = await given()
    const digest = await manifest(7)
    const { stored } = (await blobs.open(digest)) as unknown as { stored: { bytes: Uint8Array } }
    const whole = stored.bytes
    stored.bytes = Buffer.from(whole.map((byte) => (byte === 55 ? 56 : byte))) // 7 and 8 in ASCII
    expect(await reader.facts(digest)).toEqual({})
    stored.bytes = whole
    expect(await reader.facts(digest)).toEqual({ declaredSize: 7 })
  })
})

it.each([
  [{ layers: [{ size: -1 }, { size: 'x' }, null, { size: 1e300 }, { size: 4 }] }, { declaredSize: 4 }],
  [
    { artifactType: 'a', config: { mediaType: 'b' }, subject: { digest: subject } },
    { artifactType: 'a', subject },
  ],
  [{ artifactType: 'a'.repeat(256), subject: { digest: 'd' } }, {}],
  [{ artifactType: 7, config: null, subject: null, layers: 'x' }, {}],
])('what %j says is read with care', (manifest, facts) => {
  expect(factsIn(manifest)).toEqual(facts)
})
