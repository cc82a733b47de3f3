import { CreateRepositoryCommand, DescribeImagesCommand, PutImageTagMutabilityCommand } from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { image } from '../../support/faulty-upstream.ts'
import { Governed, repositoryName } from './governed.ts'

describe('a tag that becomes immutable', () => {
  let governed: Governed

  beforeAll(async () => {
    governed = await Governed.start()
    await governed.ecr.send(new CreateRepositoryCommand({ repositoryName }))
  })
  afterAll(() => governed[Symbol.asyncDispose]())

  const decide = (imageTagMutability: 'IMMUTABLE' | 'MUTABLE') =>
    governed.ecr.send(new PutImageTagMutabilityCommand({ repositoryName, imageTagMutability }))

  /** A tag that was pulled, and points elsewhere upstream since. */
  async function moved(tag: string) {
    await decide('MUTABLE')
    const before = await governed.add(`${tag} before`, [tag])
    const after = governed.appliance.upstream.addImage('app', tag, image({ seed: `${tag} after`, layers: [1000] }))
    return { before, after }
  }
  const digestOf = async (reference: string, method = 'GET') =>
    (await governed.appliance.manifest(reference, { method })).headers['docker-content-digest']

  /** Where the tag points, by the API: pulls may be given the answer of a moment ago. */
  async function kept(imageTag: string): Promise<string | undefined> {
    const asked = new DescribeImagesCommand({ repositoryName, imageIds: [{ imageTag }] })
    return (await governed.ecr.send(asked)).imageDetails?.[0]?.imageDigest
  }

  it('while somebody knows only that it moved stays where it points', async () => {
    const { before, after } = await moved('seen')
    expect(await digestOf('seen', 'HEAD')).toBe(after.digest)
    await decide('IMMUTABLE')
    expect(await digestOf('seen')).toBe(before.digest)
    await governed.pull(after.digest)
    expect(await kept('seen')).toBe(before.digest)
    await decide('MUTABLE')
    expect(await digestOf('seen')).toBe(after.digest)
  })

  it.each(['HEAD', 'GET'] as const)('while upstream is asked about it stays where it points: %s', async (method) => {
    const tag = `asked-${method.toLowerCase()}`
    const { before, after } = await moved(tag)
    await governed.pull(after.digest)
    const { promise: until, resolve: goOn } = Promise.withResolvers<void>()
    const { upstream } = governed.appliance
    upstream.forget()
    upstream.fault('manifest', { until, times: 1, when: ({ reference }) => reference === tag })
    const asking = digestOf(tag, method)
    await upstream.seen(1, undefined, 'manifest', tag)
    await decide('IMMUTABLE')
    goOn()
    expect(await asking).toBe(after.digest)
    expect(await kept(tag)).toBe(before.digest)
    expect(await digestOf(tag)).toBe(before.digest)
  })

  it('points to what upstream has once what it pointed to was deleted', async () => {
    const { before, after } = await moved('gone')
    await decide('IMMUTABLE')
    await governed.forget(before.digest)
    expect(await digestOf('gone')).toBe(after.digest)
  })
})
