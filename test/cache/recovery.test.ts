import { describe, expect, it } from 'vitest'
import { MemoryStore } from '../../src/blobs/memory.ts'
import { MemoryMetadata } from '../../src/metadata/memory.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { isKind } from '../../src/oci/errors.ts'
import type { Rule } from '../../src/rules/rule.ts'
import { collect } from '../support/collect.ts'
import { given } from './given.ts'

const account = { username: 'u', passwordFile: '/p' }
const anonymousMirror = { upstream: 'https://mirror.test', dialect: 'generic', realmHosts: [] } as const
const layer = Buffer.from('a layer')
const config = Buffer.from(JSON.stringify({ schemaVersion: 2, layers: [] }))

/** A cache that holds bytes of which nothing is known any more. */
async function afterLoss(change: Partial<Rule>) {
  const blobs = new MemoryStore()
  for (const bytes of [layer, config]) {
    await using writer = await blobs.create('sha256')
    await writer.write(bytes)
    await writer.commit({ digest: writer.digest() })
  }
  return given(change, { blobs, metadata: new MemoryMetadata(Date.now() + 1000) })
}

const blobOf = (digest: Digest) => ['hub/app', digest] as const

describe('after the metadata were lost', () => {
  it.each<[string, Partial<Rule>]>([
    ['no credential', {}],
    ['mirrors without credentials', { mirrors: [anonymousMirror] }],
  ])('a rule with %s shows what was stored at once', async (_, change) => {
    const { upstream, registry } = await afterLoss(change)
    const { body } = await registry.blob(...blobOf(digestOf(layer)))
    expect((await collect(body)).equals(layer)).toBe(true)
    const manifest = await registry.manifest({ repository: 'hub/app', digest: digestOf(config) })
    expect(manifest.bytes).toEqual(config)
    expect(upstream.calls).toEqual([])
  })

  it.each<[string, Partial<Rule>]>([
    ['a credential', { credential: account }],
    ['several accounts', { credentials: [account, account] }],
    ['a mirror with a credential', { mirrors: [{ ...anonymousMirror, credential: account }] }],
  ])('a rule with %s shows it to nobody whom upstream does not know to have it', async (_, change) => {
    const { upstream, registry } = await afterLoss(change)
    const unknown = (error: unknown) => isKind(error, 'unknown')
    await expect(registry.blob(...blobOf(digestOf(layer)))).rejects.toSatisfy(unknown)
    const manifest = registry.manifest({ repository: 'hub/app', digest: digestOf(config) })
    await expect(manifest).rejects.toSatisfy(unknown)
    expect(upstream.calls.map(({ method }) => method)).toEqual(['stat', 'resolve'])
  })
})
