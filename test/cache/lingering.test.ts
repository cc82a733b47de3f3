import { expect, it } from 'vitest'
import { Lingering } from '../../src/cache/lingering.ts'
import { collect } from '../support/collect.ts'
import { MemoryRegistry } from '../support/memory-registry.ts'

const repository = 'hub/app'
const bytes = Buffer.from('a blob')

class OwnedRegistry extends MemoryRegistry implements AsyncDisposable {
  disposals = 0

  async [Symbol.asyncDispose](): Promise<void> {
    this.disposals++
  }
}

function given() {
  const registry = new OwnedRegistry()
  const digest = registry.addBlob(repository, bytes)
  const reference = { repository, digest: registry.addManifest(repository, 'v1', {}) }
  return { registry, digest, reference, lingering: new Lingering(registry) }
}

it('is disposed at once where nobody uses it', async () => {
  const { registry, lingering, reference } = given()
  await lingering.manifest(reference)
  await lingering.letGo()
  expect(registry.disposals).toBe(1)
})

it('is disposed when the last body came to its end, sent or not', async () => {
  const { registry, lingering, digest } = given()
  const [first, second] = [await lingering.blob(repository, digest), await lingering.blob(repository, digest)]
  let isGone = false
  const gone = lingering.letGo().then(() => {
    isGone = true
  })
  expect(await collect(first.body)).toEqual(bytes)
  await lingering.stat(repository, digest)
  expect([isGone, registry.disposals]).toEqual([false, 0])
  await second.body[Symbol.asyncDispose]()
  await gone
  expect([registry.disposals, registry.open]).toEqual([1, 0])
})

it('waits for nothing that failed', async () => {
  const { registry, lingering, digest, reference } = given()
  const read = await lingering.blob(repository, digest)
  const broken = read.body.sendTo({ write: () => Promise.reject(new Error('full')) })
  await expect(broken).rejects.toThrow('full')
  registry.failure = new Error('down')
  const questions = [lingering.blob(repository, digest), lingering.resolve(reference), lingering.tags(repository)]
  for (const question of questions) await expect(question).rejects.toThrow('down')
  await lingering.letGo()
  expect(registry.disposals).toBe(1)
})

it('that is disposed meanwhile waits for nobody', async () => {
  const { registry, lingering, digest } = given()
  await using _body = (await lingering.blob(repository, digest)).body
  void lingering.letGo()
  await lingering[Symbol.asyncDispose]()
  expect(registry.disposals).toBe(1)
})
